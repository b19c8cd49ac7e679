"""The tables of docs/conformance.md, made from the runs."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from broker.gateway.desks.unsupported import UNSUPPORTED
from broker.gateway.protocol.layouts import FROM_CLIENT, FROM_GATEWAY, name_of
from tests.conformance.recorded import RECORDINGS
from tests.conformance.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

# What a client is too old to know.
NEWER_TOLD = {"ibapi": {106, 107}}
NEWER_ASKED = {"ibapi": {100, 101, 102, 103, 104}}

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
            f"{kind} {name_of(kind, from_client=False)}",
            *(_heard(run, kind) for run in runs),
            ", ".join(str(version) for version in sorted(set(real.get(kind, ())))) or "–",
        )
        for kind in FROM_GATEWAY
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
        (f"{kind} {name_of(kind, from_client=True)}", *(_answer(run, kind) for run in runs))
        for kind in FROM_CLIENT
    )
    return _table(("request", *_clients(runs)), rows)


def _answer(run: Run, kind: int) -> str:
    if kind not in run.asked:
        return "–"
    return "refused" if kind in UNSUPPORTED else "answered"


def _recorded() -> str:
    rows = (
        (
            f"{recording.kind} {name_of(recording.kind, from_client=False)}",
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
