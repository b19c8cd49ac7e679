"""What the breaker costs a beat on which nothing happens: a look at every condition, all of them calm."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta

import polars as pl

from broker.events import AccountChanged, LinkState, QuoteChanged
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.breaker_watch import VIX, BreakerWatch
from daemon.console import Console
from daemon.judge import Picture
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from daemon.settings import BreakerSettings
from daemon.tripwires import Closing
from options import ConId
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.rolling import Roller

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
_LOOKS = 300


class _Still:
    def now(self) -> datetime:
        return NOW


def quiet_look_s(positions: int, looks: int = _LOOKS) -> float:
    """Seconds of the quickest of so many looks. One is due every second of the daemon's time; the other beats
    return at once."""
    return asyncio.run(_quickest(_watch(), _picture(positions), looks))


async def _quickest(watch: BreakerWatch, picture: Picture, looks: int) -> float:
    taken = []
    for second in range(looks):
        begun = time.perf_counter()
        await watch.look(picture, NOW + timedelta(seconds=second))
        taken.append(time.perf_counter() - begun)
    return min(taken)


def _watch() -> BreakerWatch:
    broker = InteractiveBrokers("127.0.0.1", 1, 1, _Still())
    state = AccountState(
        broker, QuoteBoard(3600.0), LineBudget(90), Desk(broker), Roller(broker), link=LinkState.UP
    )
    state.has_picture, state.day_start_nlv_usd = True, 100_000.0
    state.account.apply(AccountChanged("DU1", "NetLiquidation", 99_000.0, "USD"), NOW)
    state.board.watch(VIX, ConId(1))
    figures = (17.4, 17.6, 1.0, 1.0, 17.5, 17.0)
    vix = QuoteChanged(ConId(1), *figures, *[None] * 6, quote_time=NOW, greeks_time=None, is_live=True)
    state.board.apply(vix, NOW)
    state.closings.extend(Closing(NOW, -10.0 if place % 50 else 5.0) for place in range(3))
    metrics, records = Metrics(), Records(LAKE_TABLES)
    alerts = Alerts(records, metrics)
    return BreakerWatch(state, records, alerts, Console(io.StringIO()), metrics, BreakerSettings())


def _picture(positions: int) -> Picture:
    names = [f"P{place}" for place in range(positions)]
    facts = pl.DataFrame(
        {"position": names, "quote_age": [0.5] * positions, "quote_state": ["live"] * positions}
    )
    return Picture(NOW, facts, facts, {})
