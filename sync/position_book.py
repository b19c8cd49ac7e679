"""Which whole structures the account holds, kept in step with what the broker says it holds.

The broker's holdings are the only truth about quantities; fills say nothing here. Every difference
between them and the positions is explained in this order: lots of our own orders closed or opened, whole
lots that somebody else closed, and last, once it has lasted `settle_after`, a re-grouping of what is left.
So nothing can be counted twice, and running `settle` again changes nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from broker.events import HoldingChanged
from broker.protocol import ComboLeg
from options import (
    NEW_YORK,
    ConId,
    Contract,
    Grouping,
    Leg,
    Right,
    SecType,
    Structure,
    UsdPerContract,
    classify,
    group_legs,
)
from sync.position import (
    CENT,
    ENDING,
    REGROUPED,
    Position,
    PositionEvent,
    PositionEventKind,
    mean_cost,
    position_from_row,
    position_id,
)

SETTLE_AFTER_S = 5.0

Cash = Callable[[str], float | None]
"""USD that all closing fills of a position brought so far (negative: cost); None = unknown."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A position that an order of ours is about to open: `legs` are the signed contracts of one lot."""

    position: str
    legs: tuple[ComboLeg, ...]
    structure: Structure
    strategy: str | None
    rolled_from: str | None


def _unknown_cash(position: str) -> float | None:
    return None


class PositionBook:
    """All open positions of one account."""

    def __init__(self, settle_after_s: float = SETTLE_AFTER_S) -> None:
        self._settle_after = timedelta(seconds=settle_after_s)
        self._positions: dict[str, Position] = {}
        self._holdings: dict[ConId, HoldingChanged] = {}
        self._openings: dict[str, Opening] = {}
        self._open_since: dict[ConId, datetime] = {}
        self._ids: set[str] = set()
        self._has_picture = False
        self._in_step = False
        self._held: dict[ConId, int] | None = None
        self._owners: dict[ConId, str] = {}
        self._owners_revision = 0
        self.revision = 0
        """Grows whenever the positions change; what is derived from them can be cached against it."""

    @property
    def positions(self) -> tuple[Position, ...]:
        return tuple(self._positions.values())

    def get(self, position: str) -> Position | None:
        return self._positions.get(position)

    @property
    def held(self) -> dict[ConId, int]:
        """Signed contracts per con_id as the broker reports them, zeros left out."""
        if self._held is None:
            self._held = {con_id: each.quantity for con_id, each in self._holdings.items() if each.quantity}
        return self._held.copy()

    @property
    def holdings(self) -> tuple[HoldingChanged, ...]:
        """The broker's latest word on every contract that is held."""
        return tuple(event for event in self._holdings.values() if event.quantity)

    def position_of(self, con_id: ConId) -> str | None:
        """The position that a contract belongs to; the first one where several share it."""
        if self._owners_revision != self.revision:
            # The other way round, so that the first one stays.
            legs = [(leg, each.id) for each in self.positions for leg in each.legs]
            self._owners = {leg.contract.con_id: name for leg, name in reversed(legs)}
            self._owners_revision = self.revision
        return self._owners.get(con_id)

    # --- what comes in ---------------------------------------------------------------------------

    def restore(self, rows: pl.DataFrame) -> None:
        """Take up what the lake's `strategies` rows (all of them, in order of `seq`) say is open."""
        last: dict[str, Position] = {}
        credit: dict[str, float] = {}
        for row in rows.sort("seq", maintain_order=True).iter_rows(named=True):
            name, kind = row["position"], PositionEventKind(row["event"])
            self._ids.add(name)
            if kind in ENDING:
                last.pop(name, None)
                continue
            released = last[name].released_credit_usd if name in last else 0.0
            if kind is PositionEventKind.REDUCED and row["reason"]:
                released = None  # only what somebody else did has a reason here
            elif kind is PositionEventKind.REDUCED and name in credit and released is not None:
                released += credit[name] - row["net_credit_usd"]
            credit[name] = row["net_credit_usd"]
            last[name] = position_from_row(row, released)
        self._positions = last
        self._in_step = False
        self.revision += 1

    def note(self, event: HoldingChanged) -> None:
        """The broker's word on one holding. Nothing follows from it before `settle`."""
        self._holdings[event.contract.con_id] = event
        self._held = None
        self._in_step = False

    def note_picture(self, holdings: Iterable[HoldingChanged]) -> None:
        """The broker's word on all holdings: what it does not name is not held."""
        self._holdings = {event.contract.con_id: event for event in holdings}
        self._held = None
        self._has_picture = True
        self._in_step = False
        long_ago = datetime.min.replace(tzinfo=NEW_YORK)
        self._open_since = dict.fromkeys(self._differences(), long_ago)

    def forget_picture(self) -> None:
        """The link is gone: nothing is concluded from holdings until the next full picture."""
        self._has_picture = False

    def expect(
        self,
        legs: Sequence[ComboLeg],
        now: datetime,
        strategy: str | None = None,
        rolled_from: str | None = None,
    ) -> str:
        """Say that an order of ours opens lots of `legs`; returns the id the position will have.

        The id depends on the legs and `now` alone: after a restart the same call gives the same id.
        """
        one_lot = [Leg(leg.contract, leg.ratio, UsdPerContract(0.0)) for leg in legs]
        structure = classify(one_lot)
        contracts = [leg.contract for leg in legs]
        name = position_id(contracts[0].symbol, structure, contracts, now)
        self._openings[name] = Opening(name, tuple(legs), structure, strategy, rolled_from)
        return name

    def expect_no_more(self, position: str) -> None:
        """The opening order has ended; what it opened stays."""
        self._openings.pop(position, None)

    # --- what follows ----------------------------------------------------------------------------

    def settle(
        self,
        now: datetime,
        ours: Mapping[str, PositionEventKind] | None = None,
        busy: Collection[ConId] = (),
        cash: Cash = _unknown_cash,
    ) -> list[PositionEvent]:
        """Bring the positions in step with the broker's holdings.

        `ours` names the positions that orders of ours close or reduce now, with the event that their end
        is (`CLOSED`, or `ROLLED` for a roll); any other change is unexpected and taken in once it has
        lasted. Their contracts and those in `busy` have orders at work: what whole lots of ours do not
        explain there waits. Does nothing before the first full picture.
        """
        if not self._has_picture or self._in_step:
            return []
        ours = ours or {}
        differences = self._differences()
        lasting = self._lasting(differences, ours, busy, now)
        assigned = _assigned_symbols(self.positions, differences, self._holdings)
        events = self._close_lots(differences, ours, lasting, assigned, now, cash)
        events += self._open_lots(differences, now)
        rest = {con_id: quantity for con_id, quantity in differences.items() if con_id in lasting}
        ended = [event.position for event in events if event.unexpected]
        events += self._regroup(rest, assigned, ended, now)
        events += self._take_costs()
        waiting = differences.keys() - rest.keys()
        self._open_since = {con_id: self._open_since[con_id] for con_id in waiting}
        self._in_step = not waiting
        if events:
            self.revision += 1
        return events

    def _differences(self) -> dict[ConId, int]:
        """Broker's quantity minus ours, where they differ."""
        wanted = self.held
        for position in self._positions.values():
            for leg in position.legs:
                con_id = leg.contract.con_id
                wanted[con_id] = wanted.get(con_id, 0) - leg.quantity
        return {con_id: quantity for con_id, quantity in wanted.items() if quantity}

    def _close_lots(
        self,
        differences: dict[ConId, int],
        ours: Mapping[str, PositionEventKind],
        lasting: set[ConId],
        assigned: Collection[str],
        now: datetime,
        cash: Cash,
    ) -> list[PositionEvent]:
        """Close the whole lots that `differences` holds, and take them out of it."""
        touched = [p for p in self.positions if any(leg.contract.con_id in differences for leg in p.legs)]
        events: list[PositionEvent] = []
        # Our own orders explain a difference before anybody else's do.
        for position in sorted(touched, key=lambda p: p.id not in ours):
            mine = position.id in ours
            units = position.units
            if not mine and not units.keys() <= lasting:
                continue
            lots = min(_lots_explained(differences.get(con_id, 0), -unit) for con_id, unit in units.items())
            lots = min(lots, position.lots)
            if lots < 1:
                continue
            _explain(differences, {con_id: -unit * lots for con_id, unit in units.items()})
            kind = ours.get(position.id, PositionEventKind.CLOSED)
            after = position.with_lots(position.lots - lots)
            if not mine:
                after = replace(after, released_credit_usd=None)
            brought, released = cash(position.id) if mine else None, after.released_credit_usd
            realized = None if brought is None or released is None else released + brought
            reason = "" if mine else _why_closed(position, assigned, now)
            if after.lots:
                self._positions[position.id] = after
                kind = PositionEventKind.REDUCED
            else:
                del self._positions[position.id]
            shown = after if after.lots else position
            events.append(PositionEvent(kind, shown, reason, realized, unexpected=not mine))
        return events

    def _open_lots(self, differences: dict[ConId, int], now: datetime) -> list[PositionEvent]:
        """Hold the whole lots of expected openings that `differences` holds, and take them out of it."""
        events: list[PositionEvent] = []
        for opening in self._openings.values():
            units = {leg.contract.con_id: leg.ratio for leg in opening.legs}
            lots = min(_lots_explained(differences.get(con_id, 0), unit) for con_id, unit in units.items())
            if lots < 1:
                continue
            _explain(differences, {con_id: unit * lots for con_id, unit in units.items()})
            held = self._positions.get(opening.position)
            total = lots + (held.lots if held else 0)
            legs = tuple(self._leg(leg.contract, leg.ratio * total) for leg in opening.legs)
            position = Position(
                id=opening.position,
                structure=opening.structure,
                underlying=legs[0].contract.symbol,
                lots=total,
                legs=legs,
                entry_time=now,
                strategy=opening.strategy,
                rolled_from=opening.rolled_from,
            )
            if held is not None:
                position = replace(held, lots=total, legs=legs)
            events.append(self._hold(PositionEventKind.OPENED, position, "", unexpected=False))
        return events

    def _lasting(
        self,
        differences: Mapping[ConId, int],
        ours: Collection[str],
        busy: Collection[ConId],
        now: datetime,
    ) -> set[ConId]:
        """Contracts whose difference has lasted, and on which no order of ours is at work."""
        self._open_since = {con_id: self._open_since.get(con_id, now) for con_id in differences}
        waiting = set(busy) | {leg.contract.con_id for o in self._openings.values() for leg in o.legs}
        waiting |= {
            con_id for name in ours if name in self._positions for con_id in self._positions[name].units
        }
        return {
            con_id
            for con_id, since in self._open_since.items()
            if con_id not in waiting and now - since >= self._settle_after
        }

    def _regroup(
        self,
        differences: Mapping[ConId, int],
        assigned: Collection[str],
        ended: Sequence[Position],
        now: datetime,
    ) -> list[PositionEvent]:
        """Dissolve the positions that cannot be as they were, and group what is held instead."""
        if not differences:
            return []
        is_first = not self._ids
        touched = [p for p in self._positions.values() if _is_contradicted(p, differences)]
        left = dict(differences)
        for position in touched:
            del self._positions[position.id]
            for leg in position.legs:
                left[leg.contract.con_id] = left.get(leg.contract.con_id, 0) + leg.quantity
        events = [
            PositionEvent(
                PositionEventKind.CLOSED,
                position,
                "assigned or exercised" if position.underlying in assigned else REGROUPED,
                unexpected=True,
            )
            for position in touched
        ]
        before = {leg.contract.con_id: leg for position in touched for leg in position.legs}
        legs = [
            replace(before[con_id], quantity=quantity)
            if con_id in before
            else self._leg(self._holdings[con_id].contract, quantity)
            for con_id, quantity in left.items()
            if quantity
        ]
        for grouping in group_legs(legs):
            was_assigned = grouping.underlying in assigned and grouping.structure is Structure.STOCK
            kind = PositionEventKind.ASSIGNED if was_assigned else PositionEventKind.ADOPTED
            position = self._adopted(grouping, touched, now)
            parents = [p for p in (*touched, *ended) if p.underlying == grouping.underlying]
            if was_assigned and len(parents) == 1:
                position = replace(position, rolled_from=parents[0].id)
            events.append(self._hold(kind, position, "held at the broker", unexpected=not is_first))
        return events

    def _adopted(self, grouping: Grouping, dissolved: Sequence[Position], now: datetime) -> Position:
        """A new position; it continues the dissolved one of its underlying where there is just one."""
        contracts = [leg.contract for leg in grouping.legs]
        position = Position(
            id=position_id(grouping.underlying, grouping.structure, contracts, now, self._ids),
            structure=grouping.structure,
            underlying=grouping.underlying,
            lots=grouping.lots,
            legs=grouping.legs,
            entry_time=now,
        )
        parents = [p for p in dissolved if p.underlying == grouping.underlying]
        if len(parents) != 1:
            return position
        parent = parents[0]
        return replace(
            position,
            entry_time=parent.entry_time,
            entry_underlying_price=parent.entry_underlying_price,
            entry_iv=parent.entry_iv,
            entry_vix=parent.entry_vix,
            strategy=parent.strategy,
            rolled_from=parent.id,
        )

    def _hold(
        self, kind: PositionEventKind, position: Position, reason: str, unexpected: bool
    ) -> PositionEvent:
        self._positions[position.id] = position
        self._ids.add(position.id)
        return PositionEvent(kind, position, reason, unexpected=unexpected)

    def _leg(self, contract: Contract, quantity: int) -> Leg:
        """A leg at the broker's average cost; its contract as the broker names it."""
        event = self._holdings[contract.con_id]
        return Leg(event.contract, quantity, UsdPerContract(event.average_cost))

    def _take_costs(self) -> list[PositionEvent]:
        """The broker's average cost, commission included. Of a contract that several positions share it knows
        the mean only: their costs move by as much as their mean is off."""
        legs_of: dict[ConId, list[Leg]] = {}
        for position in self._positions.values():
            for leg in position.legs:
                legs_of.setdefault(leg.contract.con_id, []).append(leg)
        events = []
        for position in self.positions:
            legs = tuple(self._at_cost(leg, legs_of[leg.contract.con_id]) for leg in position.legs)
            if legs != position.legs:
                updated = replace(position, legs=legs)
                self._positions[position.id] = updated
                events.append(PositionEvent(PositionEventKind.NOTED, updated, "average cost"))
        return events

    def _at_cost(self, leg: Leg, same: Sequence[Leg]) -> Leg:
        """`same` are all legs of its contract."""
        event, mean = self._holdings.get(leg.contract.con_id), mean_cost(same)
        if event is None or mean is None or event.quantity != sum(each.quantity for each in same):
            return leg
        if len(same) == 1:
            return replace(leg, average_cost=UsdPerContract(event.average_cost))
        off = event.average_cost - mean
        return leg if abs(off) < CENT else replace(leg, average_cost=UsdPerContract(leg.average_cost + off))

    # --- the entry's surroundings ----------------------------------------------------------------

    def capture_entry(self, facts: pl.DataFrame, vix: float | None) -> list[PositionEvent]:
        """Set what was not known yet about the entry from a facts frame; each figure is set once."""
        missing = [
            p for p in self._positions.values() if None in (p.entry_iv, p.entry_underlying_price, p.entry_vix)
        ]
        if not missing:
            return []
        rows = facts.filter(pl.col("position").is_in([p.id for p in missing]))
        known = {row["position"]: row for row in rows.iter_rows(named=True)}
        events = []
        for position in missing:
            row = known.get(position.id, {})
            updated = replace(
                position,
                entry_iv=_first(position.entry_iv, row.get("iv")),
                entry_underlying_price=_first(position.entry_underlying_price, row.get("underlying_price")),
                entry_vix=_first(position.entry_vix, vix),
            )
            if updated != position:
                self._positions[position.id] = updated
                events.append(PositionEvent(PositionEventKind.NOTED, updated, "entry context"))
        if events:
            self.revision += 1
        return events


def _first(known: float | None, new: float | None) -> float | None:
    return new if known is None else known


def _explain(differences: dict[ConId, int], explained: Mapping[ConId, int]) -> None:
    for con_id, quantity in explained.items():
        rest = differences.pop(con_id) - quantity
        if rest:
            differences[con_id] = rest


def _why_closed(position: Position, assigned: Collection[str], now: datetime) -> str:
    if position.underlying in assigned:
        return "assigned or exercised"
    today = now.astimezone(NEW_YORK).date()
    expired = position.expiry is not None and position.expiry <= today
    return "expired" if expired else "closed by someone else"


def _lots_explained(difference: int, unit: int) -> int:
    """How many whole units of the sign of `unit` fit into the difference."""
    return abs(difference) // abs(unit) if difference * unit > 0 else 0


def _is_contradicted(position: Position, differences: Mapping[ConId, int]) -> bool:
    """Whether a leg of the position is held less, or the other way round."""
    return any(differences.get(leg.contract.con_id, 0) * leg.quantity < 0 for leg in position.legs)


def _assigned_symbols(
    positions: Sequence[Position],
    differences: Mapping[ConId, int],
    holdings: Mapping[ConId, HoldingChanged],
) -> set[str]:
    """Underlyings where a leg is gone and exactly its shares have come or gone."""
    shares = {
        event.contract.symbol: differences[con_id]
        for con_id, event in holdings.items()
        if con_id in differences and event.contract.sec_type is SecType.STOCK
    }
    found = set()
    for position in positions if shares else ():
        for leg in position.legs:
            gone = -differences.get(leg.contract.con_id, 0)
            sign = 1 if leg.contract.right is Right.CALL else -1
            if gone and shares.get(position.underlying) == gone * leg.contract.multiplier * sign:
                found.add(position.underlying)
    return found
