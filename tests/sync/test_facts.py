"""Facts of positions: whole-structure sums, null as soon as a leg is not known."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from broker.events import AccountChanged, QuoteChanged
from lake.tables import TABLES
from options import ConId, Contract, Leg, Right, SecType, Structure, UsdPerContract
from rules.facts import CATALOGUE
from sync.account import AccountBoard
from sync.facts import FACTS_SCHEMA, book_facts, display_facts, facts_frame, position_columns, regime
from sync.position import Position
from sync.quote_board import QuoteBoard
from sync.tables import FACTS_TABLE, account, contracts, facts, snapshots

NOW = datetime(2026, 2, 3, 16, 0, tzinfo=UTC)
MARCH = date(2026, 3, 20)
PUT = Contract(ConId(1), "IWM", SecType.OPTION, MARCH, 245.0, Right.PUT, 100)
WING = Contract(ConId(2), "IWM", SecType.OPTION, MARCH, 235.0, Right.PUT, 100)
SHARES = Contract(ConId(9), "IWM", SecType.STOCK)
CALL = Contract(ConId(3), "IWM", SecType.OPTION, MARCH, 270.0, Right.CALL, 100)


def spread() -> Position:
    legs = (Leg(WING, 2, UsdPerContract(200.0)), Leg(PUT, -2, UsdPerContract(350.0)))
    at = NOW - timedelta(hours=36)
    return Position("spread", Structure.PUT_CREDIT_SPREAD, "IWM", 2, legs, at, entry_iv=0.2, entry_vix=15.0)


def covered_call() -> Position:
    legs = (Leg(SHARES, 100, UsdPerContract(250.0)), Leg(CALL, -1, UsdPerContract(300.0)))
    return Position("covered", Structure.COVERED_CALL, "IWM", 1, legs, NOW)


def quote(con_id: int, bid: float, ask: float, **more: object) -> QuoteChanged:
    empty = QuoteChanged(
        ConId(con_id), bid, ask, 1, 1, None, None, None, None, None, None, None, None, NOW, NOW, True
    )
    return replace(empty, **more)


def board() -> QuoteBoard:
    built = QuoteBoard()
    built.watch("IWM", ConId(9))
    built.apply(quote(9, 259.9, 260.1, close=262.0), NOW)
    built.apply(quote(1, 2.9, 3.1, delta=-0.2, gamma=0.012, theta=-0.06, vega=0.3, iv=0.25), NOW)
    built.apply(quote(2, 1.4, 1.6, delta=-0.1, gamma=0.008, theta=-0.05, vega=0.2, iv=0.3), NOW)
    built.apply(quote(3, 1.9, 2.1, delta=0.3, gamma=0.01, theta=-0.04, vega=0.25, iv=0.2), NOW)
    return built


def row(
    position: Position, built: QuoteBoard, vix: float | None = 18.0, now: datetime = NOW
) -> dict[str, object]:
    frame = facts_frame(position_columns([position]), built, {"nlv_usd": 100_000.0}, vix, now)
    return frame.row(0, named=True)


def test_frame_has_every_fact_of_the_catalogue_and_no_other() -> None:
    frame = facts_frame(position_columns([spread()]), board(), {}, None, NOW)
    assert frame.schema == FACTS_SCHEMA
    assert set(frame.columns) - {"position"} == {
        fact.name for fact in CATALOGUE if fact.scope != "book" and not fact.tracked
    }
    assert set(book_facts(frame, {}, None)) == {fact.name for fact in CATALOGUE if fact.scope == "book"}


def test_spread_is_valued_as_a_whole() -> None:
    got = row(spread(), board())
    expected = {
        "net_credit_usd": 300.0,
        "market_value_usd": -300.0,
        "profit_usd": 0.0,
        "profit": 0.0,
        "max_loss_usd": 1700.0,
        "max_profit_usd": 300.0,
        "buying_power_used": 0.017,
        "delta": 0.1,
        "gamma": -0.004,
        "theta": 0.01,
        "vega": -0.1,
        "delta_usd": 20 * 260.0,
        "gamma_usd": -0.8 * 260.0**2 / 100,
        "theta_usd": 2.0,
        "vega_usd": -20.0,
        "iv": (0.3 * 0.25 + 0.2 * 0.3) / 0.5,
        "iv_change": 0.27 / 0.2 - 1,
        "vix_change": 3.0,
        "underlying_price": 260.0,
        "underlying_change_1d": 260 / 262 - 1,
        "short_strike_distance": 15 / 260,
        "extrinsic": 3.0,
        "spread_pct": 0.8 / 3.0,
        "days_held": 1.5,
        "dte": 45,
        "lots": 2,
        "quote_age": 0.0,
        "quote_state": "live",
    }
    for name, value in expected.items():
        assert got[name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-9)), name
    unknown = ("iv_rank", "iv_percentile", "days_to_earnings", "days_to_ex_dividend", "underlying_change_1h")
    assert all(got[name] is None for name in unknown)


def test_one_leg_without_a_quote_makes_the_money_unknown_and_nothing_else() -> None:
    built = board()
    built.apply(quote(2, 1.6, 1.4, delta=-0.1), NOW)
    got = row(spread(), built)
    assert got["profit"] is got["profit_usd"] is got["market_value_usd"] is got["spread_pct"] is None
    assert got["quote_state"] == "stale"
    assert (got["dte"], got["underlying_price"], got["delta"]) == (45, 260.0, pytest.approx(0.1))
    shown = display_facts(position_columns([spread()]), built, NOW).row(0, named=True)
    assert shown["last_market_value_usd"] == pytest.approx(-300.0)


def test_one_leg_without_greeks_makes_the_sum_unknown() -> None:
    built = board()
    built.apply(quote(2, 1.4, 1.6), NOW)
    got = row(spread(), built)
    assert all(
        got[name] is None for name in ("delta", "gamma", "theta", "vega", "iv", "delta_usd", "iv_change")
    )
    assert got["profit"] == pytest.approx(0.0)


def test_leg_that_was_never_quoted_leaves_nothing_to_show() -> None:
    built = QuoteBoard()
    built.apply(quote(1, 2.9, 3.1), NOW)
    assert row(spread(), built)["quote_state"] == "missing"
    shown = display_facts(position_columns([spread()]), built, NOW).row(0, named=True)
    assert shown["last_profit"] is shown["last_profit_usd"] is shown["last_market_value_usd"] is None


def test_everything_quoted_is_unknown_once_it_is_old() -> None:
    got = row(spread(), board(), None, NOW + timedelta(seconds=121))
    quoted = ("profit", "delta", "iv", "underlying_price", "underlying_change_1d", "extrinsic", "vix_change")
    assert all(got[name] is None for name in quoted)
    assert got["quote_age"] == pytest.approx(121.0)


def test_shares_count_as_delta_of_a_covered_call() -> None:
    got = row(covered_call(), board())
    assert got["delta"] == pytest.approx(0.7)
    assert got["theta_usd"] == pytest.approx(4.0)
    assert got["profit_usd"] == pytest.approx(26_000 - 25_000 + 300 - 200)
    assert got["iv"] == pytest.approx(0.2)
    assert got["short_strike_distance"] == pytest.approx(10 / 260)


def test_unlimited_loss_is_unknown_never_infinite() -> None:
    naked = replace(spread(), legs=(Leg(CALL, -2, UsdPerContract(300.0)),), structure=Structure.SHORT_CALL)
    got = row(naked, board())
    assert (got["max_loss_usd"], got["buying_power_used"]) == (None, None)


def test_no_positions_give_an_empty_frame_and_an_empty_book() -> None:
    frame = facts_frame(position_columns([]), board(), {}, 20.0, NOW)
    assert frame.schema == FACTS_SCHEMA
    assert frame.height == 0
    assert book_facts(frame, {"nlv_usd": 1e5}, 20.0)["book_positions"] == 0


def test_book_sums_positions_and_is_unknown_when_one_is() -> None:
    frame = facts_frame(position_columns([spread(), covered_call()]), board(), {}, 18.0, NOW)
    figures = {"nlv_usd": 100_000.0, "maintenance_margin_usd": 5_000.0}
    got = book_facts(frame, figures, 18.0)
    assert got["book_theta_usd"] == pytest.approx(6.0)
    assert got["book_buying_power_used"] == pytest.approx(0.05)
    assert got["book_concentration"] == pytest.approx((1700 + 24_700) / 100_000)
    assert (got["book_positions"], got["book_positions_one_underlying"], got["regime"]) == (2, 2, "normal")
    assert (
        book_facts(frame.with_columns(theta_usd=pl.Series([2.0, None])), figures, None)["book_theta_usd"]
        is None
    )
    assert book_facts(frame, {}, 18.0)["book_concentration"] is None


@pytest.mark.parametrize(
    ("vix", "mood"),
    [
        (None, None),
        (14.9, "low_vol"),
        (15.0, "normal"),
        (25.0, "normal"),
        (25.1, "high_vol"),
        (35.1, "crash"),
    ],
)
def test_regime_follows_vix(vix: float | None, mood: str | None) -> None:
    assert regime(vix) == mood


def test_account_figures_in_dollars_are_known_until_they_are_old() -> None:
    built = AccountBoard(stale_after_s=600)
    assert built.figures(NOW)["nlv_usd"] is None
    built.apply(AccountChanged("DU1", "NetLiquidation", 100_000.0, "USD"), NOW)
    built.apply(AccountChanged("DU1", "NetLiquidation", 90_000.0, "EUR"), NOW)
    built.apply(AccountChanged("DU1", "Cushion", 0.9, ""), NOW)
    assert built.figures(NOW)["nlv_usd"] == 100_000.0
    assert built.figures(NOW + timedelta(seconds=601))["nlv_usd"] is None
    built.forget()
    assert built.figures(NOW)["nlv_usd"] is None


def test_rows_fit_the_tables_of_the_lake() -> None:
    built, columns = board(), position_columns([spread(), covered_call()])
    seen = facts_frame(columns, built, {}, 18.0, NOW)
    market = book_facts(seen, {}, 18.0)
    row_of = facts(seen, display_facts(columns, built, NOW), market)
    assert FACTS_TABLE.fit(row_of).height == 2
    assert row_of["vix"].to_list() == [18.0, 18.0]
    assert TABLES["snapshots"].fit(snapshots(built.frame(NOW))).height == 4
    assert TABLES["account"].fit(account("DU1", AccountBoard().figures(NOW), market)).height == 1
    assert TABLES["contracts"].fit(contracts([PUT, SHARES])).height == 2
