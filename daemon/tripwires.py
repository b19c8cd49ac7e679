"""What trips the breaker: conditions as pure functions of what is known of the account and the market.

A condition holds, does not, or is unknown (None). What is unknown neither begins nor ends one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from daemon.settings import BreakerSettings
from rules.breaker import Event


@dataclass(frozen=True, slots=True)
class Closing:
    """A position that ended; `realized_usd` None when it is not known what it brought."""

    time: datetime
    realized_usd: float | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What the conditions look at; None where it is unknown.

    `loss_s` and `flatten_s` are how long the loss of the day has been beyond its first and second limit.
    `vix_change` is relative to yesterday's close. `down_s` is how long there has been no link in trading
    hours, `stale_share` the share of positions without fresh quotes (0 outside of trading hours) and
    `stale_s` how long that has been beyond the limit. `unresolved` are differences with the broker's books,
    in words.
    """

    time: datetime
    nlv_usd: float | None
    day_start_nlv_usd: float | None
    loss_s: float
    flatten_s: float
    vix_change: float | None
    down_s: float
    stale_share: float | None
    stale_s: float
    closings: tuple[Closing, ...] = ()
    rejections: tuple[datetime, ...] = ()
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it was seen: its `value` against its `limit`, and the two in words."""

    event: Event
    holds: bool | None
    value: float | None
    limit: float
    text: str

    def plain(self) -> dict[str, Any]:
        return {"holds": self.holds, "value": self.value, "limit": self.limit, "text": self.text}


def conditions(seen: Readings, limits: BreakerSettings) -> dict[Event, Condition]:
    """Every condition that is switched on, by the event that it begins with."""
    found = (
        _loss(Event.DAILY_LOSS, seen, limits.daily_loss, seen.loss_s >= limits.loss_s),
        _loss(Event.FLATTEN, seen, limits.daily_loss_flatten, seen.flatten_s >= limits.loss_s),
        _vix(seen, limits.vix_rise),
        _losses(seen, limits),
        _beyond(Event.BROKER_DOWN, seen.down_s, limits.broker_down_s, f"no link for {seen.down_s:.0f} s"),
        _stale(seen, limits),
        _rejects(seen, limits),
        _reconcile(seen) if limits.reconcile else None,
    )
    return {condition.event: condition for condition in found if condition is not None and condition.limit}


def loss_of_day(nlv_usd: float | None, day_start_nlv_usd: float | None) -> float | None:
    """Share of what the account was worth when the day began, negative for a gain; None when unknown."""
    if nlv_usd is None or day_start_nlv_usd is None or day_start_nlv_usd <= 0:
        return None
    return (day_start_nlv_usd - nlv_usd) / day_start_nlv_usd


def _loss(event: Event, seen: Readings, limit: float, lasts: bool) -> Condition:
    """It must last: one wrong figure of the broker's must not close a book."""
    loss = loss_of_day(seen.nlv_usd, seen.day_start_nlv_usd)
    if loss is None:
        return Condition(event, None, None, limit, "the loss of the day is unknown")
    said = f"{'loss' if loss > 0 else 'gain'} of the day {abs(loss):.2%} of {seen.day_start_nlv_usd:,.0f} USD"
    return Condition(event, loss >= limit and lasts, loss, limit, said)


def _vix(seen: Readings, limit: float) -> Condition:
    change = seen.vix_change
    said = "the VIX or its last close is unknown" if change is None else f"VIX {change:+.1%} since its close"
    return _beyond(Event.VIX_SHOCK, change, limit, said)


def _losses(seen: Readings, limits: BreakerSettings) -> Condition:
    within = timedelta(hours=limits.losses_window_h)
    recent = [closing for closing in seen.closings if seen.time - closing.time <= within]
    lost = sum(closing.realized_usd is not None and closing.realized_usd < 0 for closing in recent)
    unknown = sum(closing.realized_usd is None for closing in recent)
    said = f"{lost} closed at a loss within {limits.losses_window_h:g} h"
    holds = True if lost >= limits.losses else None if lost + unknown >= limits.losses else False
    if unknown:
        said += f", {unknown} with unknown result"
    return Condition(Event.LOSSES_IN_WINDOW, holds, float(lost), float(limits.losses), said)


def _stale(seen: Readings, limits: BreakerSettings) -> Condition:
    share = seen.stale_share
    if share is None:
        return Condition(Event.DATA_STALE, None, None, limits.stale_share, "no picture of the positions")
    lasts = share >= limits.stale_share and seen.stale_s >= limits.stale_s
    said = f"{share:.0%} of the positions without fresh quotes"
    said += f" for {seen.stale_s:.0f} s" if share >= limits.stale_share else ""
    return Condition(Event.DATA_STALE, lasts, share, limits.stale_share, said)


def _rejects(seen: Readings, limits: BreakerSettings) -> Condition:
    within = timedelta(minutes=limits.rejects_window_min)
    count = sum(seen.time - time <= within for time in seen.rejections)
    said = f"{count} orders rejected within {limits.rejects_window_min:g} min"
    return _beyond(Event.REJECT_BURST, float(count), float(limits.rejects), said)


def _reconcile(seen: Readings) -> Condition:
    said = "; ".join(seen.unresolved) or "the books agree"
    return _beyond(Event.RECONCILE_BREAK, float(len(seen.unresolved)), 1.0, said)


def _beyond(event: Event, value: float | None, limit: float, said: str) -> Condition:
    return Condition(event, None if value is None else value >= limit, value, limit, said)


@dataclass(frozen=True, slots=True)
class Standing:
    """Which conditions stand, and what has been changing: `calm_since` when a standing one was first seen
    not to hold any more, `unknown_since` when one was first not known."""

    events: frozenset[Event] = frozenset()
    calm_since: Mapping[Event, datetime] = field(default_factory=dict)
    unknown_since: Mapping[Event, datetime] = field(default_factory=dict)

    def unknown(self, now: datetime, for_s: float) -> tuple[Event, ...]:
        """The conditions that have not been known for so long."""
        return tuple(e for e, since in self.unknown_since.items() if (now - since).total_seconds() >= for_s)


def looked(before: Standing, seen: Mapping[Event, Condition], calm_s: float, now: datetime) -> Standing:
    """The conditions that stand now. One begins at once, and ends when it has been known not to hold for
    `calm_s`; one that was switched off ends at once."""
    holding = {event for event, condition in seen.items() if condition.holds}
    calm = {e: before.calm_since.get(e, now) for e in before.events if e in seen and seen[e].holds is False}
    ended = {event for event, since in calm.items() if (now - since).total_seconds() >= calm_s}
    kept = (before.events & seen.keys()) - ended
    unknown = {
        e: before.unknown_since.get(e, now) for e, condition in seen.items() if condition.holds is None
    }
    return Standing(frozenset(holding | kept), {e: t for e, t in calm.items() if e in kept}, unknown)


def begun(before: Standing, after: Standing) -> list[Event]:
    """What has begun to stand, in the order of the events."""
    return [event for event in Event if event in after.events - before.events]


def facts_of(seen: Iterable[Condition], standing: Standing) -> dict[str, Any]:
    """What an entry of the journal keeps of the conditions."""
    return {
        "conditions": {condition.event.value: condition.plain() for condition in seen},
        "standing": sorted(event.value for event in standing.events),
    }
