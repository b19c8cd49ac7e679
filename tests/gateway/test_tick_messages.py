"""Which ticks a quote becomes, and their layouts at each version, without a socket."""

import struct
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from broker.gateway.desks.tick_desk import tick_of
from broker.gateway.desks.tick_stream import TickKind, TickStream
from broker.gateway.desks.underlying_statistics import dividend_text, historical_vol
from broker.gateway.markets.listings import option, underlying
from broker.gateway.markets.market import Dividend
from broker.gateway.markets.quotes import MISSING, Quote
from broker.gateway.protocol import tick_messages as say
from broker.gateway.protocol.history_messages import (
    BID_ASK_TICKS,
    LAST_TICKS,
    MIDPOINT_TICKS,
    historical_ticks,
)
from broker.gateway.protocol.tick_messages import REPEAT_AFTER, Ticks, delayed, implied_at, news
from broker.gateway.protocol.wire import frame
from options import Right
from tests.gateway.test_contract_messages import heard

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SHARE = underlying("XYZ")
CALL = option("XYZ", date(2026, 4, 17), 100.0, Right.CALL)
FULL = Quote(
    **{"bid": 1.0, "ask": 1.2, "bid_size": 5, "ask_size": 6, "last": 1.1, "close": 0.9, "open": 1.0},
    **{"high": 1.3, "low": 0.8, "volume": 70, "iv": 0.3, "delta": 0.5, "gamma": 0.02, "theta": -0.01},
    **{"vega": 0.1, "model_price": 1.1, "underlying_price": 100.0},
)
VERSIONS = [157, 163, 164, 173, 174, 176, 178]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("contract", [SHARE, CALL])
def test_no_tick_leaves_a_field_over_at_any_version(version, contract):
    ticks, _ = news(contract, None, FULL, NOW)
    streams = [TickStream(contract, kind, False) for kind in TickKind]
    every = [tick for stream in streams if (tick := tick_of(stream, FULL, NOW))]
    assert len(every) == 4
    for tick in [*ticks, *delayed(ticks), *every]:
        heard(tick.message(7), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_historical_tick_leaves_a_field_over_at_any_version(version):
    moment = int(NOW.timestamp())
    rows = {
        MIDPOINT_TICKS: (moment, 0, 1.1, 0),
        BID_ASK_TICKS: (moment, 0, 1.0, 1.2, 5, 6),
        LAST_TICKS: (moment, 0, 1.1, 3, "N", ""),
    }
    for kind, row in rows.items():
        _, (req_id, ticks, done) = heard(historical_ticks(kind, 7, [row, row]), version)
        assert (req_id, len(ticks), done) == (7, 2, True)


def test_a_full_quote_is_told_once_in_all_its_parts():
    ticks, shown = news(CALL, None, FULL, NOW)
    assert [tick.kind for tick in ticks] == [1, 0, 2, 3, 32, 33, 45, 4, 5, 84, 8, 6, 7, 9, 14, 10, 11, 12, 13]
    assert news(CALL, shown, replace(FULL), NOW)[0] == []
    again, later = news(CALL, shown, replace(FULL), NOW + REPEAT_AFTER)
    assert [(tick.head[0], tick.kind) for tick in again] == [(1, 1), (1, 2)]
    assert (shown.at, later.at) == (NOW, NOW + REPEAT_AFTER)


def test_a_quote_that_goes_is_minus_one_and_its_model_is_not_computed():
    _, shown = news(CALL, None, FULL, NOW)
    ticks, shown = news(CALL, shown, MISSING, NOW)
    assert [(tick.kind, tick.values[0]) for tick in ticks[:4]] == [(1, -1.0), (0, 0), (2, -1.0), (3, 0)]
    assert ticks[-1].values[1:] == say.NOT_COMPUTED
    assert news(CALL, shown, MISSING, NOW + timedelta(hours=1))[0] == []


def test_nothing_is_told_of_a_contract_without_a_quote():
    assert news(CALL, None, MISSING, NOW)[0] == []


def test_a_trade_at_the_same_price_is_told_with_its_size():
    _, shown = news(SHARE, None, FULL, NOW)
    ticks, _ = news(SHARE, shown, replace(FULL, volume=75), NOW)
    assert [(tick.kind, tick.values) for tick in ticks] == [
        (say.LAST_TIME, ("1772463600",)),
        (say.LAST, (1.1, 5, 0)),
        (say.LAST_SIZE, (5,)),
        (say.VOLUME, (75,)),
    ]


def test_implied_volatilities_follow_the_price_and_are_missing_where_they_mean_nothing():
    assert implied_at(FULL, 1.0) == pytest.approx(0.29)
    assert implied_at(FULL, None) is None
    assert implied_at(replace(FULL, model_price=None), 1.0) is None
    assert implied_at(replace(FULL, vega=0.0), 1.0) is None
    assert implied_at(FULL, -10.0) is None


def test_the_bytes_of_many_ticks_are_their_frames():
    ticks, _ = news(CALL, None, FULL, NOW)
    made = Ticks(ticks).frames(4711)
    assert made == b"".join(frame(tick.message(4711)) for tick in ticks)
    (length,) = struct.unpack(">I", made[:4])
    assert made[4 : 4 + length].startswith(b"1\x006\x004711\x001\x001.0\x005\x00")


def test_dividends_are_told_as_past_and_coming_year():
    paid = [Dividend(date(2025 + n // 4, 1 + n % 4 * 3, 15), 1.0 + n) for n in range(12)]
    assert dividend_text(paid, date(2026, 3, 2)) == "14,30,20260415,6"
    assert dividend_text([], date(2026, 3, 2)) == ",,,"


def test_historical_volatility_needs_three_closes():
    assert historical_vol([100.0, 101.0]) is None
    assert historical_vol([100.0, 110.0, 100.0]) == pytest.approx(2.139735, abs=1e-4)
