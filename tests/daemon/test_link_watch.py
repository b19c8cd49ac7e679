"""The link as the daemon shows it, when a connection is made anew, and a blackout in a whole daemon."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from broker.connection_breaker import BreakerState
from broker.events import LinkChanged, LinkHealth, LinkState
from daemon.account_state import AccountState
from daemon.link_metrics import LinkMetrics
from daemon.link_watch import LinkWatch, renewal_due
from daemon.opening_facts import why_untrusted
from lake import LakeReader
from options import NEW_YORK
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from tests.broker.bench import Bench, Start
from tests.broker.conftest import start
from trading.blackout import read_blackout
from trading.desk import Desk
from trading.rolling import Roller

__all__ = ["start"]

EVENING = datetime(2026, 3, 2, 20, 0, tzinfo=NEW_YORK).astimezone(UTC)
DAY = timedelta(hours=24)
HEALTH = LinkHealth(
    LinkState.UP, EVENING - DAY, EVENING - DAY, 0, BreakerState.CLOSED, 0.0, 3, 100, 10, 0, 0.1
)


class HandClock:
    def __init__(self) -> None:
        self.time = EVENING - DAY

    def now(self) -> datetime:
        return self.time


def watched(bench: Bench, *blackouts: str) -> tuple[LinkWatch, AccountState, CollectorRegistry]:
    broker, registry = bench.broker, CollectorRegistry()
    desk = Desk(broker, [read_blackout(text) for text in blackouts])
    state = AccountState(broker, QuoteBoard(), LineBudget(90), desk, Roller(broker))
    state.has_picture = True
    return LinkWatch(state, LinkMetrics(registry), 24.0), state, registry


@pytest.mark.row("memory")
@pytest.mark.parametrize(
    ("hour", "minute", "due"), [(20, 0, True), (3, 0, True), (9, 5, False), (9, 30, False), (15, 59, False)]
)
def test_an_old_connection_is_made_anew_only_far_from_trading(hour: int, minute: int, due: bool) -> None:
    now = datetime(2026, 3, 3, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)
    old = replace(HEALTH, connected=now - DAY)
    assert renewal_due(old, now, DAY) is due
    assert not renewal_due(replace(old, connected=now - DAY + timedelta(seconds=1)), now, DAY)
    assert not renewal_due(replace(old, state=LinkState.LOST), now, DAY)
    assert not renewal_due(old, now, None)


@pytest.mark.row("memory")
async def test_a_connection_of_a_day_is_made_anew_once_without_an_alarm(start: Start) -> None:
    clock = HandClock()
    bench = await start(clock=clock)
    watch, state, registry = watched(bench)
    clock.time = EVENING - timedelta(minutes=1)
    watch.look(clock.time)
    assert bench.broker.health.state is LinkState.UP
    clock.time = EVENING
    bench.forget()
    state.has_picture = False
    watch.look(clock.time)
    state.has_picture = True
    assert registry.get_sample_value("optiond_link_planned_reconnects_total") == 0
    watch.look(clock.time)
    down = await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert down.planned
    watch.look(clock.time)
    assert registry.get_sample_value("optiond_link_planned_reconnects_total") == 1


@pytest.mark.row("memory")
async def test_in_a_blackout_no_connection_is_made_anew(start: Start) -> None:
    clock = HandClock()
    bench = await start(clock=clock)
    watch, _, registry = watched(bench, "19:00-21:00")
    watch.look(EVENING)
    assert registry.get_sample_value("optiond_link_planned_reconnects_total") == 0
    assert registry.get_sample_value("optiond_link_blackout") == 1


@pytest.mark.row("memory")
async def test_asking_again_and_again_keeps_nothing(start: Start) -> None:
    bench = await start()
    put = await bench.list_put(245, 2.00, 2.10)

    async def ask() -> None:
        for _ in range(50):
            bench.broker.subscribe(put)
            await bench.broker.qualify([put])
            bench.broker.unsubscribe(put.con_id)
        bench.forget()

    await ask()
    wrapper = bench.broker._link.session.wrapper  # type: ignore[union-attr]
    kept = {name: len(value) for name, value in vars(wrapper).items() if hasattr(value, "__len__")}
    await ask()
    assert kept == {name: len(value) for name, value in vars(wrapper).items() if hasattr(value, "__len__")}


async def test_metrics_and_status_say_the_same(start: Start) -> None:
    bench = await start()
    watch, _, registry = watched(bench, "23:40-01:45")
    watch.look(EVENING)
    await bench.broker.picture()
    watch.look(EVENING)
    health, status = bench.broker.health, watch.status(EVENING)
    assert registry.get_sample_value("optiond_link_up") == 1
    assert registry.get_sample_value("optiond_link_state", {"state": "up"}) == 1
    assert registry.get_sample_value("optiond_link_state", {"state": "down"}) == 0
    assert registry.get_sample_value("optiond_link_breaker", {"state": "closed"}) == 1
    assert registry.get_sample_value("optiond_link_messages_received_total") == health.received > 0
    assert registry.get_sample_value("optiond_link_messages_sent_total") == health.sent > 0
    age_s = registry.get_sample_value("optiond_link_heartbeat_age_seconds")
    assert age_s is not None and age_s < 5
    assert (status["breaker"], status["blackout"], status["messages_waiting"]) == ("closed", None, 0)
    assert status["messages_per_s"] is None, "unknown until it was counted for a second"
    assert watch.status(EVENING.replace(hour=5))["blackout"] == "23:40-01:45 New York"
    await bench.fault("refuse_connections")
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    watch.look(EVENING)
    heard = registry.get_sample_value("optiond_link_heartbeat_age_seconds")
    assert heard is not None and math.isnan(heard), "unknown is NaN"
    assert registry.get_sample_value("optiond_link_up") == 0
    received = registry.get_sample_value("optiond_link_messages_received_total")
    assert received is not None and received >= health.received, "a counter never goes back"


def test_nothing_is_opened_over_a_connection_that_is_on_trial() -> None:
    assert why_untrusted(HEALTH) == ""
    assert "on trial" in why_untrusted(replace(HEALTH, breaker=BreakerState.HALF_OPEN))


@pytest.mark.row("nightly-restart")
def test_a_daemon_in_a_blackout_decides_says_why_it_does_not_act_and_sends_nothing(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = replay(helpers.story())
    ports = {"port": gateway.port, "control_port": gateway.control_port}
    home.settle(gateway, broker={**ports, "blackout": ["09:30-16:00"]})
    daemon = home.start()
    vetoed = helpers.wait_until(lambda: vetoes(home), 60, "vetoed")
    told = home.ask("status").stdout
    helpers.stop(daemon)
    assert "blackout 09:30-16:00 New York: no order is sent" in told
    assert vetoed == ["blackout: 09:30-16:00 New York (limit outside of broker.blackout)"]
    assert gateway.orders() == []


def vetoes(home: Any) -> list[str]:
    """The reasons of all vetoes in the lake so far."""
    if not (home.path / "control.json").exists():
        return []
    decisions = LakeReader.open(home.path).table("decisions").filter(pl.col("kind") == "veto")
    return decisions.collect()["reason"].to_list()
