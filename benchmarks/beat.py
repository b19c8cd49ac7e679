"""A whole beat of the daemon over 5,000 contracts in 1,250 positions, ninety of them on lines.

The engine is the daemon's own, with its lake on disk; only the broker is made up: it says what is held and
quotes what has a line. Every contract was quoted once, most of them too long ago since, so what they are
worth comes from the model. On every beat all underlyings move, so all of them are priced anew.
"""

import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import cast

from benchmarks import stand
from benchmarks.figure import Limited, show_limited
from broker.events import (
    AccountChanged,
    BreakerState,
    BrokerEvent,
    DailyKind,
    DailyValues,
    HoldingChanged,
    LinkChanged,
    LinkHealth,
    LinkState,
    QuoteChanged,
)
from broker.protocol import Broker, BrokerPicture
from daemon import loop_turns
from daemon.console import Console, configure_logging
from daemon.engine import Engine
from daemon.loop_turns import LoopTurns, timing
from daemon.rules_file import RulesFile
from daemon.rules_standing import standing_at
from daemon.run import HAND_OVER_S, Daemon, Until
from daemon.settings import load_settings
from lake import Lake
from options import ConId, Contract, Right, SecType
from options.american import american
from options.hours import is_trading_day
from sync.tables import LAKE_TABLES
from trading.decision import Moment
from trading.verdict import CONTRIBUTORS, verdicts_of

UNDERLYINGS, EXPIRIES = 50, 25
NOW = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
BEAT = timedelta(milliseconds=250)
WHILE_OLD = timedelta(minutes=5)
WARM, BEATS = 10, 40
SPOT_USD, VOL, RATE = 100.0, 0.25, 0.04
STEP_USD = 5.0
LIMIT_MS = 25.0


class MadeUpBroker:
    """Holds iron condors, one per underlying and expiry, and quotes by the model."""

    def __init__(self) -> None:
        self._chance = random.Random(5)
        numbers = count(1)
        shares = [f"U{n:02d}" for n in range(UNDERLYINGS)]
        self.underlyings = [Contract(ConId(next(numbers)), name, SecType.STOCK) for name in shares]
        self.vix = Contract(ConId(next(numbers)), "VIX", SecType.INDEX)
        days = [date(2026, 3, 20) + timedelta(days=7 * n) for n in range(EXPIRIES)]
        self.holdings = tuple(
            HoldingChanged(
                self.account,
                Contract(
                    ConId(next(numbers)), share, SecType.OPTION, day, SPOT_USD + step * STEP_USD, right, 100
                ),
                quantity,
                cost,
            )
            for share in shares
            for day in days
            for step, right, quantity, cost in (
                (-2, Right.PUT, 1, 100.0),
                (-1, Right.PUT, -1, 250.0),
                (1, Right.CALL, -1, 250.0),
                (2, Right.CALL, 1, 100.0),
            )
        )
        self._options = [holding.contract for holding in self.holdings]
        self._terms = [
            (each.strike or 0.0, (cast(date, each.expiry) - NOW.date()).days / 365, each.right is Right.CALL)
            for each in self._options
        ]
        self._spots = dict.fromkeys((each.con_id for each in self.underlyings), SPOT_USD)
        self._events: list[BrokerEvent] = [
            LinkChanged(LinkState.UP, "made up", resubscribe=True),
            AccountChanged(self.account, "NetLiquidation", 5e6, "USD"),
            AccountChanged(self.account, "MaintMarginReq", 1e6, "USD"),
        ]
        self.lines: set[ConId] = set()

    account = "DU1"
    is_paper = True
    link = LinkState.UP
    link_since = NOW
    attempts = 0

    health = LinkHealth(LinkState.UP, NOW, NOW, 0, BreakerState.CLOSED, 0.0, 0, 0, 0, 0, 0.0)

    @property
    def lines_used(self) -> int:
        return len(self.lines)

    def drain(self) -> list[BrokerEvent]:
        events, self._events = self._events, []
        return events

    async def picture(self) -> BrokerPicture:
        return BrokerPicture(self.holdings, (), (), ())

    async def underlying(self, symbol: str) -> Contract:
        return next(each for each in (*self.underlyings, self.vix) if each.symbol == symbol)

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        return list(contracts)

    def subscribe(self, contract: Contract) -> None:
        self.lines.add(contract.con_id)

    def unsubscribe(self, con_id: ConId) -> None:
        self.lines.discard(con_id)

    def ask_daily(self, contract: Contract, kind: DailyKind, days: int) -> None:
        """A random walk up to yesterday."""
        value = SPOT_USD if kind is DailyKind.CLOSE else VOL
        walked: list[tuple[date, float]] = []
        for back in range(days, 0, -1):
            day = NOW.date() - timedelta(days=back)
            if is_trading_day(day):
                value *= 1.0 + self._chance.gauss(0.0, 0.01)
                walked.append((day, value))
        self._events.append(DailyValues(contract.con_id, kind, tuple(walked)))

    def ring_beyond(self, *_: object) -> None:
        """Every beat of this benchmark comes when it is called."""

    def move(self, now: datetime) -> None:
        """All underlyings move by some cents; they, VIX and what has a line are quoted."""
        for each in self.underlyings:
            self._spots[each.con_id] += self._chance.uniform(-0.05, 0.05)
            spot = self._spots[each.con_id]
            self._events.append(_quote(each.con_id, spot - 0.01, spot + 0.01, now))
        self._events.append(_quote(self.vix.con_id, 17.9, 18.1, now))
        self.quote([n for n, each in enumerate(self._options) if each.con_id in self.lines], now)

    def quote(self, places: Sequence[int], now: datetime) -> None:
        """Quote some of the options."""
        spots = {each.symbol: self._spots[each.con_id] for each in self.underlyings}
        for place in places:
            contract, (strike, years, is_call) = self._options[place], self._terms[place]
            worth = american(spots[contract.symbol], [strike], years, VOL, [is_call], RATE)
            price = max(0.02, float(worth.price[0]))
            greeks = [float(getattr(worth, name)[0]) for name in ("delta", "gamma", "theta", "vega")]
            self._events.append(_quote(contract.con_id, price - 0.01, price + 0.01, now, VOL, *greeks))

    def quote_all(self, now: datetime) -> None:
        self.quote(range(len(self._options)), now)


def _quote(con_id: ConId, bid: float, ask: float, now: datetime, *model: float) -> QuoteChanged:
    iv, delta, gamma, theta, vega = model or (None,) * 5
    greeks_time = now if model else None
    mid = 0.5 * (bid + ask)
    return QuoteChanged(
        con_id, bid, ask, 10.0, 10.0, mid, mid, iv, delta, gamma, theta, vega, None, now, greeks_time, True
    )


async def _measure(folder: Path) -> list[Limited]:
    stand.write_home(folder, 1, stand.shadow_rules())
    settings = load_settings(folder)
    broker = MadeUpBroker()
    configure_logging(folder)
    with Lake.open(folder, LAKE_TABLES) as lake:
        daemon = Daemon(folder, settings, lake, Console((folder / "said").open("w")), Until())
        rules_file = RulesFile(folder / "rules.yaml")
        engine = daemon._make_engine(cast(Broker, broker), standing_at(folder, rules_file), rules_file)
        engine.account = broker.account
        return await _beats(engine, broker)


async def _beats(engine: Engine, broker: MadeUpBroker) -> list[Limited]:
    now = NOW
    broker.move(now)
    for _ in range(2 * UNDERLYINGS + 5):  # a question for daily values on each
        await engine.cycle(now)
        now += BEAT
    broker.quote_all(now)
    await engine.cycle(now)
    now += WHILE_OLD
    gc.collect()
    gc.freeze()  # as the daemon does once it is ready
    parts: dict[str, list[float]] = {}
    turns = LoopTurns()

    def took(what: str, begun: tuple[float, float]) -> None:
        parts.setdefault(what, []).append((time.perf_counter() - begun[0]) * 1e3)
        parts.setdefault(what + ", processor time", []).append((time.process_time() - begun[1]) * 1e3)

    def clock() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    for beat in range(WARM + BEATS):
        now += BEAT
        broker.move(now)
        begun = clock()
        with timing(turns) if beat >= WARM else timing(LoopTurns()):
            await engine.cycle(now)
        took("whole cycle", begun)
        now += BEAT
        broker.move(now)
        for event in broker.drain():
            engine.intake.apply(event, now)
        begun = clock()
        picture = engine.judge.look(now)
        took("marks and facts", begun)
        moment = Moment(now, engine.rules.book, engine.state.rule_state, picture.facts, picture.market)
        stepped = clock()
        _, decided = moment.step()
        took("rules", stepped)
        verdicts_of(list(decided.iter_rows(named=True)), picture.facts.select(CONTRIBUTORS.names()))
        took("marks, facts, rules, verdicts", begun)
    states = dict(picture.facts["quote_state"].value_counts().iter_rows())
    held = engine.state.positions.positions
    legs = sum(len(each.legs) for each in held)
    print(f"  {len(held)} positions, {legs} contracts, {len(broker.lines)} lines: {states}")
    told = []
    for what, taken in parts.items():
        worst = sorted(taken[WARM:])[-2]
        print(f"  {what}: median {statistics.median(taken[WARM:]):.1f} ms, second worst {worst:.1f} ms")
    print(f"  loop held up by {dict(turns.blocked)}; longest own {turns.longest_own_s * 1e3:.1f} ms")
    for what in ("marks, facts, rules, verdicts", "marks, facts, rules, verdicts, processor time"):
        told.append(Limited(f"{what}, median", statistics.median(parts[what][WARM:]), LIMIT_MS, "ms"))
    told.append(
        Limited("longest turn of the loop in a cycle, own time", turns.longest_own_s * 1e3, 5.0, "ms")
    )
    return told


def main() -> None:
    """Print every figure with its limit."""
    sys.setswitchinterval(HAND_OVER_S)
    with tempfile.TemporaryDirectory() as folder:
        show_limited(*loop_turns.run(_measure(Path(folder))))


if __name__ == "__main__":
    main()
