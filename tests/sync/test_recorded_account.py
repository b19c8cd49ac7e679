"""The real account on its real quotes, against numbers computed straight from the files."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from broker.events import HoldingChanged, QuoteChanged
from options import ConId, Contract, Right, SecType, Structure
from sync.facts import display_facts, facts_frame, position_columns
from sync.position import Position
from sync.position_book import PositionBook
from sync.quote_board import QuoteBoard

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SNAPSHOTS = DATA / "ibkr_option_snapshots.parquet"
HOLDINGS = DATA / "ibkr_account_positions.csv"
STALE_AFTER_S = 120.0

pytestmark = pytest.mark.recorded


def holdings() -> list[HoldingChanged]:
    with HOLDINGS.open() as file:
        return [
            HoldingChanged(
                "DU1",
                Contract(
                    ConId(int(row["conid"])),
                    row["symbol"],
                    SecType.OPTION,
                    date.fromisoformat(row["expiry"]),
                    float(row["strike"]),
                    Right(row["right"]),
                    100,
                ),
                round(float(row["position"])),
                float(row["average_cost"]),
            )
            for row in csv.DictReader(file)
        ]


def raw_quotes(until: datetime) -> pl.DataFrame:
    """Every recorded quote of the account's legs up to a moment, with con_id and holding."""
    held = pl.read_csv(HOLDINGS, try_parse_dates=True)
    terms = ["symbol", "expiry", "right", "strike"]
    return (
        pl.read_parquet(SNAPSHOTS)
        .join(held, on=terms, how="inner")
        .filter(pl.col("timestamp") <= until)
        .sort("timestamp")
    )


def account_at(now: datetime) -> tuple[tuple[Position, ...], QuoteBoard]:
    """The account adopted and the board as it stands after every recorded quote up to `now`."""
    book, board = PositionBook(), QuoteBoard(STALE_AFTER_S)
    book.note_picture(holdings())
    book.settle(now)
    for row in raw_quotes(now).iter_rows(named=True):
        at = row["timestamp"]
        has_price = row["bid"] is not None or row["ask"] is not None
        quote = QuoteChanged(
            con_id=ConId(row["conid"]),
            **{name: row[name] for name in ("bid", "ask", "last", "iv", "delta", "gamma", "theta", "vega")},
            bid_size=None,
            ask_size=None,
            close=None,
            underlying_price=None,
            quote_time=at if has_price else None,
            greeks_time=at if row["delta"] is not None else None,
            is_live=True,
        )
        board.apply(quote, at)
    return book.positions, board


def independent_profit_usd(symbol: str, now: datetime) -> float:
    """Last recorded two-sided quotes against the costs of the file, with nothing of ours in between."""
    last = (
        raw_quotes(now)
        .filter((pl.col("symbol") == symbol) & (pl.col("bid") > 0) & (pl.col("ask") > pl.col("bid")))
        .group_by("conid")
        .last()
    )
    assert last.height == 4
    value = (last["position"] * (last["bid"] + last["ask"]) / 2 * 100).sum()
    return float(value - (last["position"] * last["average_cost"]).sum())


def facts_at(now: datetime) -> dict[str, dict[str, object]]:
    positions, board = account_at(now)
    columns = position_columns(positions)
    frame = facts_frame(columns, board, {}, None, now).join(display_facts(columns, board, now), on="position")
    return {row["underlying"]: row for row in frame.iter_rows(named=True)}


def test_account_is_adopted_as_three_iron_condors_of_two_lots() -> None:
    positions, _ = account_at(datetime(2026, 1, 28, tzinfo=UTC))
    assert {(p.underlying, p.structure, p.lots) for p in positions} == {
        (symbol, Structure.IRON_CONDOR, 2) for symbol in ("IWM", "QQQ", "SPY")
    }


def test_iwm_credit_and_loss_are_those_of_the_file() -> None:
    positions, _ = account_at(datetime(2026, 1, 28, tzinfo=UTC))
    iwm = next(p for p in positions if p.underlying == "IWM")
    paid = sum(e.quantity * e.average_cost for e in holdings() if e.contract.symbol == "IWM")
    assert iwm.payoff.net_credit_usd == pytest.approx(-paid, abs=0.005)
    assert iwm.payoff.max_loss_usd == pytest.approx(2 * 1000 + paid, abs=0.005)
    assert iwm.payoff.net_credit_usd == pytest.approx(435.28, abs=0.15)
    assert iwm.payoff.max_loss_usd == pytest.approx(1564.72, abs=0.15)


def test_profit_on_live_quotes_is_the_independent_number() -> None:
    now = datetime(2026, 2, 3, 16, 37, 10, tzinfo=UTC)
    facts = facts_at(now)
    for symbol in ("IWM", "QQQ"):
        expected = independent_profit_usd(symbol, now)
        assert facts[symbol]["quote_state"] == "live"
        assert facts[symbol]["profit_usd"] == pytest.approx(expected, abs=0.005)
        assert facts[symbol]["last_profit_usd"] == pytest.approx(expected, abs=0.005)
    assert facts["IWM"]["profit_usd"] == pytest.approx(-1.82, abs=0.005)


def test_profit_on_old_quotes_is_shown_but_no_fact() -> None:
    now = datetime(2026, 2, 3, 16, 37, 10, tzinfo=UTC)
    spy = facts_at(now)["SPY"]
    assert spy["quote_state"] == "stale"
    assert spy["profit"] is None
    assert spy["profit_usd"] is None
    assert spy["market_value_usd"] is None
    assert spy["last_profit_usd"] == pytest.approx(independent_profit_usd("SPY", now), abs=0.005)


def test_profit_is_unknown_while_legs_are_a_day_apart() -> None:
    now = datetime(2026, 2, 3, 16, 34, 36, tzinfo=UTC)
    spy = facts_at(now)["SPY"]
    assert spy["profit"] is None
    assert spy["quote_state"] == "stale"
    credit = spy["net_credit_usd"]
    assert isinstance(credit, float)
    # What believing the old leg would have said, and what was true 21 seconds later.
    assert independent_profit_usd("SPY", now) / credit > 0.6
    later = facts_at(datetime(2026, 2, 3, 16, 34, 58, tzinfo=UTC))["SPY"]
    assert later["quote_state"] == "live"
    assert later["profit"] == pytest.approx(0.10, abs=0.02)
