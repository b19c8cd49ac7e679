"""The model market as a whole: the newcomer's holdings, determinism, listing, nights, quotes."""

import itertools
from datetime import date, datetime, timedelta

import pytest

from broker.gateway.errors import GatewayError
from broker.gateway.markets.market_rules import conforms
from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.market import option_id
from broker.gateway.markets.model.shares import SHARES, SYMBOLS
from options import NEW_YORK, Leg, Right, SecType, Structure, group_legs, payoff
from options.hours import closing, is_open, is_trading_day

MINUTE = timedelta(minutes=1)


def in_new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def some(market: ModelMarket, step: int = 211) -> list[int]:
    return [contract.con_id for contract in list(market.listings)[::step]]


def id_of(market: ModelMarket, symbol: str) -> int:
    contract = market.listings.find(symbol)
    assert contract is not None
    return contract.con_id


def test_the_newcomer_holds_three_profitable_looking_condors_about_45_days_out():
    market = ModelMarket()
    legs = [Leg(h.contract, h.quantity, h.average_cost) for h in market.first_holdings()]
    groups = group_legs(legs)
    assert [(g.underlying, g.structure, g.lots) for g in groups] == [
        (symbol, Structure.IRON_CONDOR, 2) for symbol in ("IWM", "QQQ", "SPY")
    ]
    for group in groups:
        figures = payoff(group.legs)
        assert 0.15 < figures.net_credit_usd / figures.max_loss_usd < 1.0
        assert 40 <= (group.legs[0].contract.expiry - DEFAULT_START.date()).days <= 50


@pytest.mark.parametrize("seed", [1, 7, 20, 300])
def test_whatever_the_seed_the_first_condor_has_earned_just_over_half_of_its_credit(seed):
    market = ModelMarket(seed)
    held = [h for h in market.first_holdings() if h.contract.symbol == "SPY"]
    quotes = market.quotes([h.contract.con_id for h in held], market.start())
    cost = sum(h.quantity * h.average_cost for h in held)
    worth = sum(h.quantity * 100 * quotes[h.contract.con_id].mark for h in held)
    assert 0.51 < (worth - cost) / -cost < 0.54


def test_the_same_seed_gives_the_same_quotes_in_whatever_order_they_are_asked_for():
    one, two, other = ModelMarket(seed=7), ModelMarket(seed=7), ModelMarket(seed=8)
    ids = some(one)
    for second in (5, 50, 500, 90_000, 700_000):
        one.quotes(ids, DEFAULT_START + timedelta(seconds=second))
        one.bars(ids[0], DEFAULT_START - timedelta(days=3), DEFAULT_START, 60)
    later = DEFAULT_START + timedelta(days=14, seconds=7)
    assert one.quotes(ids, later) == two.quotes(list(reversed(ids)), later)
    assert one.marks(ids, later) == two.marks(ids, later)
    assert [c.con_id for c in one.listings] == [c.con_id for c in two.listings]
    assert one.quotes(ids, later) != other.quotes(ids, later)


@pytest.mark.parametrize("scenario", ["calm", "crash_2020", "squeeze"])
def test_a_saved_market_goes_on_as_if_it_had_never_stopped(scenario):
    one, two = ModelMarket(seed=3, scenario=scenario), ModelMarket(seed=99)
    moment = DEFAULT_START + timedelta(days=9)
    one.quotes(some(one), moment)
    two.load(one.save())
    later = moment + timedelta(days=12, hours=2)
    for market in (one, two):
        market.quotes([], later)
    assert {c.con_id for c in one.listings} == {c.con_id for c in two.listings}
    ids = some(one, 101)
    assert one.quotes(ids, later) == two.quotes(ids, later)


def test_days_that_nobody_looked_at_are_listed_all_the_same():
    one, two = ModelMarket(seed=5, scenario="crash_2020"), ModelMarket(seed=5, scenario="crash_2020")
    end = DEFAULT_START + timedelta(days=30)
    for n in range(30):
        one.quotes([], DEFAULT_START + timedelta(days=n))
    for market in (one, two):
        market.changed([], DEFAULT_START, end)
    assert {c.con_id for c in one.listings} == {c.con_id for c in two.listings}


def test_options_that_have_long_ended_are_forgotten_so_that_memory_stays_flat():
    market = ModelMarket(seed=5)
    counts, caches = [], []
    for weeks in range(1, 60):
        market.quotes([], DEFAULT_START + timedelta(days=7 * weeks))
        counts.append(len(list(market.listings)))
        caches.append(len(market._reaches) + len(market._paths._sessions))
    assert max(counts[30:]) < 1.25 * max(counts[:30])
    assert max(caches[30:]) < 1.25 * max(caches[:30])
    assert all(c.expiry >= DEFAULT_START.date() + timedelta(days=390) for c in market.listings if c.expiry)


def test_nights_and_weekends_and_holidays_are_skipped():
    market = ModelMarket()
    assert is_open(market.start())
    monday_close = market.start().astimezone(NEW_YORK).replace(hour=16, minute=0)
    assert market.resume(monday_close) == in_new_york("2026-03-03T09:30")
    assert market.resume(monday_close + timedelta(days=4)) == in_new_york("2026-03-09T09:30")
    assert market.resume(in_new_york("2026-04-02T16:00")) == in_new_york("2026-04-06T09:30")
    assert market.resume(in_new_york("2026-11-27T13:00")) == in_new_york("2026-11-30T09:30")


def test_kept_nights_pass_with_wide_share_quotes_and_none_for_options():
    market = ModelMarket(seed=2, keep_nights=True)
    spy = id_of(market, "SPY")
    option = market.listings.find("SPY", date(2026, 4, 17), 690.0, Right.PUT).con_id
    day = in_new_york("2026-03-03T12:00")
    for hour, quoted in ((3, False), (4, True), (9, True), (12, True), (17, True), (20, False), (23, False)):
        moment = day.replace(hour=hour)
        assert market.resume(moment) == moment
        quotes = market.quotes([spy, option], moment)
        assert (quotes[spy].two_sided is not None) is quoted
        assert (quotes[option].two_sided is not None) is (hour == 12)
        assert quotes[spy].last > 0
        if quoted and hour != 12:
            noon = market.quotes([spy], day)[spy]
            assert quotes[spy].ask - quotes[spy].bid > 2 * (noon.ask - noon.bid)
        assert market.marks([option], moment)[option] > 0
    weekend = in_new_york("2026-03-07T12:00")
    assert market.quotes([spy], weekend)[spy].two_sided is None


def test_prices_go_on_where_they_stopped_over_night_but_for_the_dividend():
    market = ModelMarket(seed=2, keep_nights=True)
    paths = market._paths
    for text, paid in (("2026-03-03", 0.0), ("2026-03-20", 1.85)):
        opening = in_new_york(f"{text}T09:30")
        assert paths.at(opening).prices == pytest.approx(
            paths.at(opening - timedelta(seconds=1)).prices, rel=3e-4
        )
        early = in_new_york(f"{text}T04:00")
        dark = paths.at(early - timedelta(seconds=1)).prices[0]
        assert dark - paths.at(early).prices[0] == pytest.approx(paid, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("symbol", ["SPY", "QQQ", "IWM"])
def test_a_chain_is_sane_calls_fall_puts_rise_and_spreads_widen_away_from_the_money(symbol):
    market = ModelMarket()
    chain = [c for c in market.listings.chain(symbol) if f"{c.expiry:%Y%m%d}" == "20260417"]
    quotes = market.quotes([c.con_id for c in chain], DEFAULT_START)
    for right, sign in (("C", -1), ("P", 1)):
        side = sorted((c for c in chain if c.right == right), key=lambda c: c.strike)
        models = [quotes[c.con_id].model_price for c in side]
        assert all((b - a) * sign > 0 for a, b in itertools.pairwise(models))
        out = [quotes[c.con_id] for c in side if abs(quotes[c.con_id].delta) < 0.5]
        sided = [q for q in out if q.two_sided]
        relative = [((q.ask - q.bid) / q.model_price, abs(q.delta)) for q in sided]
        assert min(relative, key=lambda r: r[1])[0] > max(relative, key=lambda r: r[1])[0]
        vols = [quotes[c.con_id].iv for c in side]
        assert vols[0] > vols[len(vols) // 2] > 0.05


def test_expiries_follow_the_calendar():
    market = ModelMarket(start=in_new_york("2026-03-16T10:00"))
    spy = {c.expiry for c in market.listings.chain("SPY")}
    iwm = {c.expiry for c in market.listings.chain("IWM")}
    two_weeks = [date(2026, 3, 16) + timedelta(days=n) for n in range(15)]
    assert {day for day in two_weeks if is_trading_day(day)} <= spy
    assert all(is_trading_day(day) for day in spy)
    assert {date(2026, 4, 2), date(2026, 6, 18)} <= spy & iwm, "the Fridays are holidays"
    assert date(2026, 3, 18) not in iwm
    assert date(2026, 8, 21) in spy & iwm


def test_strikes_follow_a_crash():
    market = ModelMarket(seed=4, scenario="crash_2020")
    expiry = date(2026, 4, 17)

    def lowest() -> float:
        return min(c.strike for c in market.listings.chain("SPY") if c.expiry == expiry)

    before = lowest()
    moment = in_new_york("2026-04-02T10:00")
    market.quotes([], moment)
    spot = market.quotes([id_of(market, "SPY")], moment)[id_of(market, "SPY")].last
    assert lowest() < 0.75 * spot < before


def test_an_option_has_the_same_id_in_every_run_and_no_two_have_one():
    ids = [
        option_id(place, date(2026, 1, 1) + timedelta(days=days), strike / 2, right)
        for place in range(len(SHARES))
        for days in range(0, 900, 7)
        for strike in range(1, 2000, 37)
        for right in Right
    ]
    assert len(set(ids)) == len(ids)
    assert max(ids) < 2**31
    assert option_id(0, date(2026, 4, 17), 690.0, Right.CALL) == 1620015817


def test_quotes_carry_the_day_so_far_which_only_grows():
    market = ModelMarket(seed=6)
    spy, vix = id_of(market, "SPY"), id_of(market, "VIX")
    option = min(market.listings.chain("SPY"), key=lambda c: (abs(c.strike - 690), c.expiry)).con_id
    before = None
    for minutes in range(0, 350, 7):
        quotes = market.quotes(
            [spy, vix, option], DEFAULT_START + minutes * MINUTE + timedelta(seconds=minutes % 60)
        )
        for con_id in (spy, vix):
            quote = quotes[con_id]
            assert quote.low <= min(quote.open, quote.last) <= max(quote.open, quote.last) <= quote.high
        if before:
            assert quotes[spy].high >= before[spy].high and quotes[spy].low <= before[spy].low
            assert quotes[spy].volume > before[spy].volume
            assert quotes[option].volume >= before[option].volume
            assert quotes[spy].close == before[spy].close
        before = quotes
    assert quotes[vix].bid is None and quotes[vix].volume is None
    assert quotes[option].open_interest > 0 and quotes[option].close > 0
    assert 1e7 < quotes[spy].volume < 3e8


def test_sizes_change_and_deep_wings_have_no_bid():
    market = ModelMarket(seed=6)
    chain = [c for c in market.listings.chain("SPY") if f"{c.expiry:%Y%m%d}" == "20260306"]
    ids = [c.con_id for c in chain]
    seen = [market.quotes(ids, DEFAULT_START + timedelta(seconds=s)) for s in (0, 30, 60)]
    near = min(chain, key=lambda c: abs(c.strike - 696)).con_id
    assert len({quotes[near].bid_size for quotes in seen}) == 3
    wing = min((c for c in chain if c.right is Right.PUT), key=lambda c: c.strike).con_id
    assert seen[0][wing].bid is None and seen[0][wing].bid_size == 0 and seen[0][wing].ask <= 0.03


def test_quotes_are_wider_at_the_open_in_a_crash_and_before_a_report():
    def width(market: ModelMarket, symbol: str, moment: datetime) -> float:
        expiry = date(2026, 4, 17)
        spot = market.quotes([id_of(market, symbol)], moment)[id_of(market, symbol)].last
        chain = [c for c in market.listings.chain(symbol) if c.expiry == expiry]
        near = min(chain, key=lambda c: (abs(c.strike - spot), c.con_id)).con_id
        quote = market.quotes([near], moment)[near]
        return quote.ask - quote.bid

    calm, crash = ModelMarket(seed=6), ModelMarket(seed=6, scenario="crash_2020")
    noon, opening = in_new_york("2026-03-24T12:00"), in_new_york("2026-03-24T09:30")
    assert width(calm, "SPY", opening) > 2 * width(calm, "SPY", noon)
    assert width(crash, "SPY", noon) > 3 * width(calm, "SPY", noon)
    report, eve = in_new_york("2026-03-10T12:00"), in_new_york("2026-03-09T12:00")
    assert width(calm, "PLUG", report) > 1.2 * width(calm, "PLUG", eve)


def test_a_report_is_dreaded_before_and_forgotten_after():
    market = ModelMarket(seed=6)

    def money_vol(text: str, expiry: date) -> float:
        moment = in_new_york(text)
        spot = market.quotes([id_of(market, "AAPL")], moment)[id_of(market, "AAPL")].last
        chain = [c for c in market.listings.chain("AAPL") if c.expiry == expiry]
        near = min(chain, key=lambda c: (abs(c.strike - spot), c.con_id)).con_id
        return market.quotes([near], moment)[near].iv

    next_day, next_week = date(2026, 5, 1), date(2026, 5, 8)
    assert money_vol("2026-04-30T15:00", next_day) > 1.5 * money_vol("2026-04-20T15:00", next_day)
    assert money_vol("2026-05-01T15:00", next_week) < 0.9 * money_vol("2026-04-30T15:00", next_week)


def test_the_dividends_are_announced_and_within_the_horizon():
    market = ModelMarket()
    assert market.dividends("PLUG") == market.dividends("VIX") == market.dividends("NOPE") == ()
    spy = market.dividends("SPY")
    assert [d.ex_date for d in spy] == sorted(d.ex_date for d in spy)
    assert {date(2025, 12, 19), date(2026, 3, 20)} <= {d.ex_date for d in spy}
    assert all(
        d.amount_usd > 0 and is_trading_day(d.ex_date) for symbol in SYMBOLS for d in market.dividends(symbol)
    )
    assert date(2026, 3, 13) in {d.ex_date for d in market.dividends("KO")}


def test_only_what_moves_is_said_to_have_changed():
    market = ModelMarket(seed=2, quote_every_s=5, keep_nights=True)
    spy = id_of(market, "SPY")
    option = next(c.con_id for c in market.listings.chain("SPY"))
    at = DEFAULT_START
    assert market.next_change([spy], at + timedelta(seconds=1)) == at + timedelta(seconds=5)
    assert market.next_change([], at) is None
    assert market.changed([spy, option], at, at + timedelta(seconds=4)) == []
    assert market.changed([option, spy], at, at + timedelta(seconds=5)) == sorted([spy, option])
    evening = closing(date(2026, 3, 2)) + MINUTE
    assert market.changed([spy, option], evening, evening + MINUTE) == [spy]


def test_contracts_that_nobody_knows_or_that_have_ended_have_no_quote():
    market = ModelMarket(seed=2)
    gone = next(c for c in market.listings.chain("SPY") if c.expiry == date(2026, 3, 2))
    later = DEFAULT_START + timedelta(days=1)
    quotes = market.quotes([gone.con_id, 12345], later)
    assert all(quote.mark is None and quote.iv is None for quote in quotes.values())
    assert gone.sec_type is SecType.OPTION and market.listings.get(gone.con_id) == gone


def test_senseless_arguments_are_refused():
    with pytest.raises(GatewayError, match="seed -1"):
        ModelMarket(seed=-1)
    with pytest.raises(GatewayError, match="crash_2020"):
        ModelMarket(scenario="apocalypse")


def test_every_quote_is_a_price_that_the_exchange_takes():
    market = ModelMarket(seed=9)
    options = [c for c in market.listings if c.expiry]
    quotes = market.quotes([c.con_id for c in options], DEFAULT_START)
    for contract in options:
        sides = [
            side for side in (quotes[contract.con_id].bid, quotes[contract.con_id].ask) if side is not None
        ]
        assert all(conforms(contract, side) for side in sides), (contract.label, sides)


def test_a_deep_call_is_worth_its_exercise_on_the_eve_of_the_dividend_and_less_than_it_pays():
    market = ModelMarket(seed=9)
    eve = in_new_york("2026-03-12T15:59")
    call = market.listings.find("KO", date(2026, 3, 20), 65.0, Right.CALL)
    spot = market.quotes([id_of(market, "KO")], eve)[id_of(market, "KO")].last
    extrinsic = market.quotes([call.con_id], eve)[call.con_id].model_price - (spot - 65.0)
    (paid,) = (d.amount_usd for d in market.dividends("KO") if d.ex_date == date(2026, 3, 13))
    assert -0.01 < extrinsic < 0.1 * paid


def test_after_midnight_the_close_is_that_of_the_day_that_ended():
    market = ModelMarket(seed=2, keep_nights=True)
    spy = id_of(market, "SPY")
    last = market.quotes([spy], in_new_york("2026-03-03T16:00"))[spy].last
    before = market.quotes([spy], in_new_york("2026-03-03T18:00"))[spy].close
    assert market.quotes([spy], in_new_york("2026-03-04T05:00"))[spy].close == last != before
    assert market.quotes([spy], in_new_york("2026-03-04T10:00"))[spy].close == last
