"""The tables of docs/conformance.md, made from the runs."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from broker.gateway.unsupported import UNSUPPORTED
from tests.conformance.recorded import RECORDINGS
from tests.conformance.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

TOLD = {
    1: "tickPrice",
    2: "tickSize",
    3: "orderStatus",
    4: "error",
    5: "openOrder",
    6: "accountValue",
    7: "portfolioValue",
    8: "accountTime",
    9: "nextValidId",
    10: "contractDetails",
    11: "execDetails",
    15: "managedAccounts",
    17: "historicalData",
    19: "scannerParameters",
    21: "tickOptionComputation",
    45: "tickGeneric",
    46: "tickString",
    49: "currentTime",
    52: "contractDetailsEnd",
    53: "openOrderEnd",
    54: "accountDownloadEnd",
    55: "execDetailsEnd",
    57: "tickSnapshotEnd",
    58: "marketDataType",
    59: "commissionReport",
    61: "position",
    62: "positionEnd",
    63: "accountSummary",
    64: "accountSummaryEnd",
    71: "positionMulti",
    72: "positionMultiEnd",
    73: "accountUpdateMulti",
    74: "accountUpdateMultiEnd",
    75: "secDefOptParams",
    76: "secDefOptParamsEnd",
    77: "softDollarTiers",
    78: "familyCodes",
    79: "symbolSamples",
    80: "mktDepthExchanges",
    81: "tickReqParams",
    82: "smartComponents",
    85: "newsProviders",
    88: "headTimestamp",
    90: "historicalDataUpdate",
    93: "marketRule",
    94: "pnl",
    95: "pnlSingle",
    96: "historicalTicks",
    97: "historicalTicksBidAsk",
    98: "historicalTicksLast",
    99: "tickByTick",
    100: "orderBound",
    101: "completedOrder",
    102: "completedOrdersEnd",
    106: "historicalSchedule",
    107: "userInfo",
}
ASKED = {
    1: "reqMktData",
    2: "cancelMktData",
    3: "placeOrder",
    4: "cancelOrder",
    5: "reqOpenOrders",
    6: "reqAccountUpdates",
    7: "reqExecutions",
    8: "reqIds",
    9: "reqContractDetails",
    15: "reqAutoOpenOrders",
    16: "reqAllOpenOrders",
    17: "reqManagedAccts",
    20: "reqHistoricalData",
    25: "cancelHistoricalData",
    49: "reqCurrentTime",
    54: "calculateImpliedVolatility",
    55: "calculateOptionPrice",
    56: "cancelCalculateImpliedVolatility",
    57: "cancelCalculateOptionPrice",
    58: "reqGlobalCancel",
    59: "reqMarketDataType",
    61: "reqPositions",
    62: "reqAccountSummary",
    63: "cancelAccountSummary",
    64: "cancelPositions",
    71: "startApi",
    74: "reqPositionsMulti",
    75: "cancelPositionsMulti",
    76: "reqAccountUpdatesMulti",
    77: "cancelAccountUpdatesMulti",
    78: "reqSecDefOptParams",
    79: "reqSoftDollarTiers",
    80: "reqFamilyCodes",
    81: "reqMatchingSymbols",
    83: "reqSmartComponents",
    87: "reqHeadTimestamp",
    90: "cancelHeadTimestamp",
    91: "reqMarketRule",
    92: "reqPnL",
    93: "cancelPnL",
    94: "reqPnLSingle",
    95: "cancelPnLSingle",
    96: "reqHistoricalTicks",
    97: "reqTickByTickData",
    98: "cancelTickByTickData",
    99: "reqCompletedOrders",
    104: "reqUserInfo",
}

# What a client is too old to know.
NEWER_TOLD = {"ibapi": {106, 107}}
NEWER_ASKED = {"ibapi": {100, 101, 103, 104}}
# Refused with words that help. The clients cannot ask for 65, 66, 72, 73 and 102 with their plain calls.
REFUSED = {kind: entry.name for kind, entry in UNSUPPORTED.items() if kind not in (65, 66, 72, 73, 102)}

_BLOCK = re.compile(r"(<!-- from the run: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(page: str, runs: Sequence[Run]) -> str:
    """The page with every table as the runs and recordings have it; raises KeyError for an unknown one."""
    tables = {"told": _told(runs), "asked": _asked(runs), "recorded": _recorded()}
    return _BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]]}\n{block[3]}", page)


def _told(runs: Sequence[Run]) -> str:
    real: dict[int, list[int]] = {}
    for recording in RECORDINGS:
        real.setdefault(recording.kind, []).append(recording.version)
    rows = (
        (
            f"{kind} {name}",
            *(_heard(run, kind) for run in runs),
            ", ".join(str(version) for version in sorted(set(real.get(kind, ())))) or "–",
        )
        for kind, name in TOLD.items()
    )
    return _table(("message", *_clients(runs), "real messages at"), rows)


def _heard(run: Run, kind: int) -> str:
    lengths = run.lengths.get(kind)
    if lengths is None:
        return "–"
    span = f"{min(lengths)}" if len(lengths) == 1 else f"{min(lengths)}–{max(lengths)}"
    return f"{span} · {run.compared.get(kind, 0)}"


def _asked(runs: Sequence[Run]) -> str:
    rows = (
        (f"{kind} {name}", *(_answer(run, kind) for run in runs))
        for kind, name in sorted((ASKED | REFUSED).items())
    )
    return _table(("request", *_clients(runs)), rows)


def _answer(run: Run, kind: int) -> str:
    if kind not in run.asked:
        return "–"
    return "refused" if kind in REFUSED else "answered"


def _recorded() -> str:
    rows = (
        (
            f"{recording.kind} {TOLD[recording.kind]}",
            str(recording.version),
            recording.what,
            str(len(recording.form)),
            recording.source,
        )
        for recording in RECORDINGS
    )
    return _table(("message", "version", "of what", "fields", "where it is recorded"), rows)


def _clients(runs: Sequence[Run]) -> list[str]:
    return [f"{run.client} at {run.version}" for run in runs]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))
