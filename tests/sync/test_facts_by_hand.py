"""The facts of any book on any quotes, against one position after another worked out in plain Python."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.events import QuoteChanged
from options import NEW_YORK, ConId, Contract, Leg, Right, SecType, Structure, UsdPerContract
from sync.almanac import DAILY_DTYPE, AlmanacPage
from sync.facts import FACTS_SCHEMA, book_facts, display_facts, facts_frame, position_columns
from sync.position import Position
from sync.quote_board import QuoteBoard
from sync.value_at_risk import value_at_risk

NOW = datetime(2026, 2, 4, 2, 30, tzinfo=UTC)  # still the third in New York
STALE_AFTER = timedelta(seconds=120)
STOCKS = {symbol: Contract(ConId(n), symbol, SecType.STOCK) for n, symbol in enumerate(("IWM", "SPY"))}
OPTIONS = {
    symbol: tuple(
        Contract(ConId(first + n), symbol, SecType.OPTION, expiry, float(strike), right, 100)
        for n, (expiry, strike, right) in enumerate(
            (expiry, strike, right)
            for expiry in (date(2026, 2, 20), date(2026, 3, 20))
            for strike in (240, 260)
            for right in Right
        )
    )
    for symbol, first in (("IWM", 10), ("SPY", 20))
}
BY_THE_DAY: dict[str, dict[str, float | None]] = {
    "IWM": {"iv_rank": 40.5, "iv_percentile": 55.0, "days_to_earnings": 9999, "days_to_ex_dividend": 0},
    "SPY": dict.fromkeys(("iv_rank", "iv_percentile", "days_to_earnings", "days_to_ex_dividend")),
}
CONTRACTS = [*STOCKS.values(), *OPTIONS["IWM"], *OPTIONS["SPY"]]

# Eighths and sixty-fourths are exact in binary: no sum depends on its order.
PRICES = st.integers(1, 400).map(lambda n: n / 8)
GREEKS = st.integers(-64, 64).map(lambda n: n / 64)
VEGAS = st.integers(1, 64).map(lambda n: n / 64)
ODD = st.sampled_from([None, math.nan, math.inf, 0.0])
NUMBERS = ("bid", "ask", "last", "close", "iv", "delta", "gamma", "theta", "vega")
AGES = st.sampled_from([timedelta(0), STALE_AFTER, STALE_AFTER + timedelta(microseconds=1)])


@dataclass(frozen=True)
class Scene:
    """`heard`: every quote with when it was drained, oldest first."""

    positions: Sequence[Position]
    heard: Sequence[tuple[datetime, QuoteChanged]]
    is_link_up: bool
    vix: float | None
    nlv_usd: float | None


@st.composite
def quotes(draw: st.DrawFn, con_id: int) -> QuoteChanged:
    """A good quote, which in one draw of three has something odd about it."""
    bid = draw(PRICES)
    good = QuoteChanged(
        ConId(con_id), bid, bid + draw(PRICES), 1.0, 1.0, draw(PRICES), draw(PRICES), draw(VEGAS),
        draw(GREEKS), draw(GREEKS), draw(GREEKS), draw(VEGAS), None, NOW, NOW, True
    )  # fmt: skip
    match draw(st.integers(0, 11)):
        case 0:
            oddities: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NUMBERS), ODD, max_size=3))
            return replace(good, **oddities)
        case 1:
            quote_time, greeks_time = (draw(st.none() | AGES.map(lambda age: NOW - age)) for _ in range(2))
            return replace(good, quote_time=quote_time, greeks_time=greeks_time)
        case 2:
            return replace(good, bid=good.ask, ask=good.bid)
        case 3:
            return replace(good, is_live=False)
        case _:
            return good


@st.composite
def positions(draw: st.DrawFn, number: int) -> Position:
    symbol = draw(st.sampled_from(sorted(STOCKS)))
    contracts = draw(
        st.lists(st.sampled_from([STOCKS[symbol], *OPTIONS[symbol]]), min_size=1, max_size=4, unique=True)
    )
    lots = draw(st.integers(1, 3))
    legs = tuple(
        Leg(
            contract,
            lots * draw(st.sampled_from([-2, -1, 1, 2])),
            UsdPerContract(float(draw(st.integers(0, 900)))),
        )
        for contract in contracts
    )
    return Position(
        f"P{number}",
        draw(st.sampled_from(Structure)),
        symbol,
        lots,
        legs,
        NOW - timedelta(hours=draw(st.integers(0, 99))),
        entry_iv=draw(st.none() | VEGAS),
        entry_vix=draw(st.none() | PRICES),
        strategy=draw(st.sampled_from([None, "wheel"])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    book = [draw(positions(number)) for number in range(draw(st.integers(0, 4)))]
    heard = [
        (NOW - draw(AGES), draw(quotes(contract.con_id)))
        for contract in CONTRACTS
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 1, 2, 2, 0])))
    ]
    return Scene(
        book,
        sorted(heard, key=lambda each: each[0]),
        draw(st.sampled_from([True] * 9 + [False])),
        draw(st.none() | PRICES),
        draw(st.sampled_from([None, 0.0, 50_000.0])),
    )


def known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def unless_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def calculated(formula: Callable[..., float], *values: float | None) -> float | None:
    """The formula, unknown when one of its values is, or when it divides by zero."""
    numbers = [value for value in values if unless_nan(value) is not None]
    try:
        return formula(*numbers) if len(numbers) == len(values) else None
    except ZeroDivisionError:
        return None


def product(*values: float | None) -> float | None:
    return calculated(lambda *each: math.prod(each), *values)


def total(values: Sequence[float | None]) -> float | None:
    return calculated(lambda *each: sum(each), *values)


class Hand:
    """Works a scene out by its words, contract by contract."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def said(self, con_id: int) -> list[tuple[datetime, QuoteChanged]]:
        return [(at, quote) for at, quote in self.scene.heard if quote.con_id == con_id]

    def is_sane(self, quote: QuoteChanged) -> bool:
        return quote.bid is not None and quote.ask is not None and 0 < quote.bid < quote.ask

    def age_s(self, con_id: int) -> float | None:
        said = self.said(con_id)
        times = [t for t in (said[-1][1].quote_time, said[-1][1].greeks_time) if t] if said else []
        return (NOW - max(times)).total_seconds() if times else None

    def last_sane(self, con_id: int) -> QuoteChanged | None:
        sane = [quote for _, quote in self.said(con_id) if self.is_sane(quote) and quote.quote_time]
        return sane[-1] if sane else None

    def state(self, con_id: int) -> str:
        """Of what is shown; only a live quote may be calculated with."""
        said, age_s = self.said(con_id), self.age_s(con_id)
        if said and self.scene.is_link_up and age_s is not None and age_s <= STALE_AFTER.total_seconds():
            quote = said[-1][1]
            if quote.is_live and self.is_sane(quote) and quote.quote_time:
                return "live"
        return "stale" if self.last_sane(con_id) else "missing"

    def live(self, con_id: int, figure: Callable[[float, float], float]) -> float | None:
        """Of bid and ask while they are live."""
        quote = self.said(con_id)[-1][1] if self.state(con_id) == "live" else None
        return calculated(figure, quote.bid, quote.ask) if quote else None

    def model(self, con_id: int, name: str) -> float | None:
        said = self.said(con_id)
        if not said or not self.scene.is_link_up:
            return None
        quote = said[-1][1]
        is_fresh = quote.greeks_time is not None and NOW - quote.greeks_time <= STALE_AFTER
        return getattr(quote, name) if is_fresh and quote.is_live else None

    def spot(self, symbol: str) -> float | None:
        con_id = STOCKS[symbol].con_id
        mid, said = self.live(con_id, mid_of), self.said(con_id)
        if mid is not None or not said or not self.scene.is_link_up:
            return mid
        at, quote = said[-1]
        is_usable = quote.is_live and NOW - at <= STALE_AFTER
        return quote.last if is_usable and quote.last is not None and quote.last > 0 else None

    def change_1d(self, symbol: str) -> float | None:
        spot = self.spot(symbol)
        if spot is None:
            return None
        close = self.said(STOCKS[symbol].con_id)[-1][1].close
        return spot / close - 1 if close is not None and close > 0 else None

    # --- one position ----------------------------------------------------------------------------

    def greek(self, position: Position, name: str, of_share: float) -> float | None:
        each = [
            self.model(leg.contract.con_id, name) if is_option(leg) else of_share for leg in position.legs
        ]
        return total([product(shares_of(leg), greek) for leg, greek in zip(position.legs, each, strict=True)])

    def iv(self, position: Position) -> float | None:
        weights, weighted = [], []
        for leg in filter(is_option, position.legs):
            vega, iv = (self.model(leg.contract.con_id, name) for name in ("vega", "iv"))
            weights.append(product(abs(shares_of(leg)), vega))
            weighted.append(product(abs(shares_of(leg)), vega, iv))
        return calculated(lambda a, b: a / b, total(weighted), total(weights))

    def money(self, position: Position) -> dict[str, float | None]:
        figures = position.payoff
        values, widths = [], []
        for leg in position.legs:
            shares, con_id = shares_of(leg), leg.contract.con_id
            values.append(product(shares, self.live(con_id, mid_of)))
            widths.append(product(abs(shares), self.live(con_id, lambda bid, ask: ask - bid)))
        value, width = total(values), total(widths)
        credit = figures.net_credit_usd
        return {
            "net_credit_usd": credit,
            "max_profit_usd": figures.max_profit_usd,
            "max_loss_usd": figures.max_loss_usd,
            "buying_power_used": calculated(lambda a, b: a / b, figures.max_loss_usd, self.scene.nlv_usd),
            "market_value_usd": value,
            "profit_usd": calculated(lambda v: v + credit, value),
            "profit": calculated(lambda v: (v + credit) / abs(credit), value),
            "spread_pct": calculated(lambda w, v: w / abs(v), width, value),
        }

    def shorts(self, position: Position) -> dict[str, float | None]:
        spot = self.spot(position.underlying)
        distances, extrinsics = [], []
        for leg in position.legs:
            strike = leg.contract.strike
            if leg.quantity > 0 or strike is None:
                continue
            sign = 1 if leg.contract.right is Right.CALL else -1
            room = calculated(lambda k, s, sign: sign * (k - s), strike, spot, sign)
            distances.append(calculated(lambda room, s: room / s, room, spot))
            mark = self.live(leg.contract.con_id, mid_of)
            extrinsics.append(calculated(lambda mark, room: mark - max(-room, 0.0), mark, room))
        least = {"short_strike_distance": distances, "extrinsic": extrinsics}
        return {
            name: calculated(lambda *each: min(each, default=math.inf), *values)
            for name, values in least.items()
        }

    def facts(self, position: Position) -> dict[str, Any]:
        spot, iv = self.spot(position.underlying), self.iv(position)
        shares_held = {"delta": 1.0, "gamma": 0.0, "theta": 0.0, "vega": 0.0}
        greeks = {name: self.greek(position, name, of_share) for name, of_share in shares_held.items()}
        states = [self.state(leg.contract.con_id) for leg in position.legs]
        ages = [self.age_s(leg.contract.con_id) for leg in position.legs]
        expiries = [leg.contract.expiry for leg in position.legs if leg.contract.expiry]
        numbers: Mapping[str, float | None] = {
            **self.money(position),
            **self.shorts(position),
            **{name: calculated(lambda g: g / 100 / position.lots, value) for name, value in greeks.items()},
            "delta_usd": calculated(lambda g, s: g * s, greeks["delta"], spot),
            "gamma_usd": calculated(lambda g, s: g * s * s / 100, greeks["gamma"], spot),
            "theta_usd": greeks["theta"],
            "vega_usd": greeks["vega"],
            "iv": iv,
            "iv_change": calculated(lambda a, b: a / b - 1, iv, position.entry_iv),
            "vix_change": calculated(lambda a, b: a - b, self.scene.vix, position.entry_vix),
            "underlying_price": spot,
            "underlying_change_1h": None,
            "underlying_change_1d": self.change_1d(position.underlying),
            "quote_age": calculated(lambda *each: max(each), *ages),
            "dte": (min(expiries) - NOW.astimezone(NEW_YORK).date()).days if expiries else None,
            "days_held": (NOW - position.entry_time) / timedelta(days=1),
            "lots": position.lots,
            "positions_same_underlying": sum(
                other.underlying == position.underlying for other in self.scene.positions
            ),
            **BY_THE_DAY[position.underlying],
        }
        return {
            "position": position.id,
            "structure": position.structure.value,
            "strategy": position.strategy,
            "underlying": position.underlying,
            "quote_state": next(s for s in ("missing", "stale", "live") if s in states),
            **{name: known(value) for name, value in numbers.items()},
        }

    def display(self, position: Position) -> dict[str, object]:
        credit, values = position.payoff.net_credit_usd, []
        for leg in position.legs:
            last = self.last_sane(leg.contract.con_id)
            mark = calculated(mid_of, last.bid, last.ask) if last else None
            values.append(product(shares_of(leg), mark))
        value = total(values)
        return {
            "position": position.id,
            "last_market_value_usd": known(value),
            "last_profit_usd": known(calculated(lambda v: v + credit, value)),
            "last_profit": known(calculated(lambda v: (v + credit) / abs(credit), value)),
            "underlying_age_s": self.heard_s(position.underlying),
            "vix_age_s": None,
            "account_age_s": 7.5,
            "history_age_days": 1.0,
            "calendar_age_days": 3.0,
        }

    def heard_s(self, symbol: str) -> float | None:
        """Since the price of an underlying was heard of: as its last message says, else since it came."""
        heard = [(at, quote) for at, quote in self.scene.heard if quote.con_id == STOCKS[symbol].con_id]
        if not heard:
            return None
        at, quote = heard[-1]
        if quote.quote_time is None and not self.scene.is_link_up:
            return None
        return (NOW - (quote.quote_time or at)).total_seconds()


def mid_of(bid: float, ask: float) -> float:
    return (bid + ask) / 2


def shares_of(leg: Leg) -> int:
    return leg.quantity * leg.contract.multiplier


def is_option(leg: Leg) -> bool:
    return leg.contract.sec_type is SecType.OPTION


def page_of(underlyings: tuple[str, ...]) -> AlmanacPage:
    rows = [tuple({**BY_THE_DAY[each], "iv_age_days": 1}[name] for name in DAILY_DTYPE.names or ())
            for each in underlyings]  # fmt: skip
    moves = covariance_of(len(underlyings))
    return AlmanacPage(NOW.date(), underlyings, np.array(rows, DAILY_DTYPE), moves, 3)


def covariance_of(underlyings: int) -> np.ndarray:
    return np.diag([1e-4] * underlyings + [0.25] * underlyings)


def loss_of_a_day(by_hand: Sequence[Mapping[str, Any]]) -> float | None:
    """Value at risk of what each underlying's positions have together."""
    symbols = list(dict.fromkeys(row["underlying"] for row in by_hand))
    sums = [
        [total([row[name] for row in by_hand if row["underlying"] == symbol]) for symbol in symbols]
        for name in ("delta_usd", "gamma_usd", "vega_usd")
    ]
    if any(value is None for values in sums for value in values):
        return None
    delta, gamma, vega = (np.array(values, float) for values in sums)
    return value_at_risk(delta, gamma, vega, covariance_of(len(symbols)))


def board_of(scene: Scene) -> QuoteBoard:
    board = QuoteBoard(STALE_AFTER.total_seconds())
    for symbol, stock in STOCKS.items():
        board.watch(symbol, stock.con_id)
    for at, quote in scene.heard:
        board.apply(quote, at)
    if not scene.is_link_up:
        board.forget()
    return board


def assert_same(got: Mapping[str, object], expected: Mapping[str, object]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        wanted = pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, int | float) else value
        assert got[name] == wanted, name


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_facts_are_those_of_every_position_worked_out_by_hand(scene: Scene) -> None:
    board, hand, columns = board_of(scene), Hand(scene), position_columns(scene.positions)
    account = {"nlv_usd": scene.nlv_usd}
    page = page_of(columns.underlyings)
    frame = facts_frame(columns, board, account, scene.vix, NOW, page)
    assert frame.schema == FACTS_SCHEMA
    by_hand = [hand.facts(position) for position in scene.positions]
    for got, expected in zip(frame.to_dicts(), by_hand, strict=True):
        assert_same(got, expected)
    shown = display_facts(columns, board, NOW, page, 7.5).to_dicts()
    for got, position in zip(shown, scene.positions, strict=True):
        assert_same(got, hand.display(position))
    book = book_facts(frame, account, scene.vix, page)
    loss = loss_of_a_day(by_hand)
    assert book["book_var_usd"] == (None if loss is None else pytest.approx(loss, rel=1e-9, abs=1e-6))
    assert book_facts(frame, account, scene.vix)["book_var_usd"] is None
    for greek in ("delta_usd", "gamma_usd", "theta_usd", "vega_usd"):
        sums = total([row[greek] for row in by_hand])
        assert book[f"book_{greek}"] == (None if sums is None else pytest.approx(sums, abs=1e-6))
    risks: dict[object, list[float | None]] = {}
    for row in by_hand:
        risks.setdefault(row["underlying"], []).append(row["max_loss_usd"])
    losses = [total(of_one) for of_one in risks.values()]
    worst = calculated(lambda *each: max(each, default=0.0), *losses)
    concentration = calculated(lambda a, b: a / b, worst, scene.nlv_usd)
    assert book["book_concentration"] == (None if concentration is None else pytest.approx(concentration))
    assert book["book_positions_one_underlying"] == max(map(len, risks.values()), default=0)


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_frame_says_of_every_contract_what_was_heard_of_it(scene: Scene) -> None:
    board, hand = board_of(scene), Hand(scene)
    asked = [contract.con_id for contract in CONTRACTS]
    frame = board.frame(NOW, asked)
    assert frame["con_id"].to_list() == asked
    for row in frame.iter_rows(named=True):
        con_id = row["con_id"]
        last = hand.last_sane(con_id)
        expected = {
            "bid": last.bid if last else None,
            "ask": last.ask if last else None,
            "quote_time": last.quote_time if last else None,
            "current_mark": hand.live(con_id, mid_of),
            "spread": hand.live(con_id, lambda bid, ask: ask - bid),
            "quote_state": hand.state(con_id),
            "age_s": hand.age_s(con_id),
            **{
                name: unless_nan(hand.model(con_id, name))
                for name in ("iv", "delta", "gamma", "theta", "vega")
            },
        }
        assert {name: row[name] for name in expected} == expected
        assert board.mid(con_id, NOW) == row["current_mark"]
