"""Layouts and texts of everything said about contracts, at each version whose layout differs."""

from datetime import UTC, date, datetime

import ib_async
import ib_insync
import pytest

from broker.gateway.markets import hours
from broker.gateway.markets.listings import option, underlying
from broker.gateway.markets.market_rules import conforms, rule_of
from broker.gateway.markets.venues import best_letters, smart_components
from broker.gateway.protocol import contract_messages as say
from broker.gateway.protocol.contract_messages import contract_details
from broker.gateway.protocol.wire import text
from options import Right
from tests.conformance.strict import Listener, StrictOfficial, strict_decoder

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SPY = underlying("SPY")
PUT = option("SPY", date(2026, 4, 17), 645.0, Right.PUT)
OTHER = option("XYZ", date(2026, 4, 17), 10.0, Right.PUT)


def heard(message, version):
    """What the clients that read this version make of a message: (call, arguments) of one of them."""
    fields = [text(value) for value in message]
    listener = Listener()
    decoders = [strict_decoder(library, listener) for library in (ib_async, ib_insync)]
    for decoder in decoders:
        decoder.serverVersion = version
        decoder.interpret(list(fields))
    if version == 157:
        decoders.append(StrictOfficial(Listener(), version))
        decoders[-1].interpret(tuple(field.encode() for field in fields))
    complaints = [each.complaint for decoder in decoders for each in decoder.heard]
    assert complaints == [""] * len(decoders)
    return listener.told[0]


@pytest.mark.parametrize("version", [157, 163, 164, 173, 174, 176, 178])
@pytest.mark.parametrize("contract", [SPY, PUT])
def test_contract_details_leave_no_field_over_at_any_version(version, contract):
    owner = SPY if contract is PUT else None
    name, (req_id, details) = heard(contract_details(7, contract, owner, NOW, version), version)
    assert (name, req_id, details.contract.conId) == ("contractDetails", 7, contract.con_id)
    assert (details.minTick, details.timeZoneId) == (0.01, "US/Eastern")
    rules, venues = details.marketRuleIds.split(","), details.validExchanges.split(",")
    assert rules == [str(rule_of(contract).rule_id)] * len(venues)


@pytest.mark.parametrize(("version", "count"), [(157, 39), (163, 40), (164, 40), (178, 40)])
def test_sizes_came_one_by_one_and_the_version_field_went(version, count):
    assert len(contract_details(7, PUT, SPY, NOW, version)) == count


def test_an_options_details_say_what_it_is():
    _, (_, details) = heard(contract_details(7, PUT, SPY, NOW, 178), 178)
    terms = details.contract
    assert (terms.lastTradeDateOrContractMonth, details.lastTradeTime) == ("20260417", "16:00:00")
    assert (terms.strike, terms.right, terms.multiplier) == (645.0, "P", "100")
    assert (details.underConId, details.underSymbol, details.underSecType) == (756733, "SPY", "STK")
    assert (details.contractMonth, details.realExpirationDate) == ("202604", "20260417")


def test_a_shares_details_name_its_isin_and_where_it_is_listed():
    _, (_, details) = heard(contract_details(7, SPY, None, NOW, 178), 178)
    assert [(i.tag, i.value) for i in details.secIdList] == [("ISIN", "US78462F1030")]
    assert (details.contract.primaryExchange, details.stockType) == ("ARCA", "ETF")
    assert (details.contract.lastTradeDateOrContractMonth, details.contract.strike) == ("", 0.0)


def test_hours_know_holidays_and_early_closes():
    thanksgiving = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)
    liquid = hours.liquid_hours(thanksgiving).split(";")
    assert liquid[:3] == ["20261126:CLOSED", "20261127:0930-20261127:1300", "20261128:CLOSED"]
    assert len(liquid) == 6
    assert hours.trading_hours(SPY, thanksgiving).split(";")[1] == "20261127:0400-20261127:1700"
    assert hours.trading_hours(PUT, thanksgiving) == hours.liquid_hours(thanksgiving)


def test_an_option_that_expires_on_a_half_day_trades_until_one_oclock():
    assert hours.last_trade_text(date(2026, 11, 27)) == "20261127 13:00:00 US/Eastern"


def test_symbol_samples_have_descriptions_from_176_on():
    shares = [SPY, underlying("VIX")]
    _, (_, found) = heard(say.symbol_samples(3, shares, 176), 176)
    assert [(d.contract.symbol, d.contract.description) for d in found] == [
        ("SPY", say.long_name("SPY")),
        ("VIX", say.long_name("VIX")),
    ]
    assert "OPT" in found[0].derivativeSecTypes
    assert say.symbol_samples(3, shares, 178) == say.symbol_samples(3, shares, 176)
    old = say.symbol_samples(3, shares, 175)
    official = StrictOfficial(Listener(), 157)
    official.interpret(tuple(text(value).encode() for value in old))
    assert [each.complaint for each in official.heard] == [""]


def test_a_chain_lists_the_union_of_strikes_so_that_it_has_holes():
    options = [PUT, option("SPY", date(2026, 5, 15), 650.0, Right.CALL)]
    (message,) = say.chain_parameters(4, ["CBOE"], SPY, options)
    _, told = heard(message, 178)
    assert told[1:] == ("CBOE", "756733", "SPY", "100", ["20260417", "20260515"], [645.0, 650.0])


@pytest.mark.parametrize(
    ("contract", "price", "accepted"),
    [
        (PUT, 7.13, True),
        (PUT, 7.135, False),
        (OTHER, 2.99, True),
        (OTHER, 3.01, False),
        (OTHER, 3.05, True),
        (option("XYZ", date(2026, 4, 17), 10.0, Right.PUT, min_tick=0.05), 2.99, False),
        (option("XYZ", date(2026, 4, 17), 10.0, Right.PUT, min_tick=0.05), 3.10, True),
        (option("XYZ", date(2026, 4, 17), 10.0, Right.PUT, min_tick=0.05), 3.05, False),
        (SPY, 690.01, True),
        (SPY, 690.005, False),
        (SPY, 0.9999, True),
    ],
)
def test_prices_follow_the_rule_that_the_contract_tells(contract, price, accepted):
    assert conforms(contract, price) is accepted
    _, (_, steps) = heard(say.market_rule(rule_of(contract)), 178)
    increment = [step.increment for step in steps if step.lowEdge <= price][-1]
    assert (abs(price / increment - round(price / increment)) < 1e-6) is accepted


def test_the_letters_of_a_quote_are_venues_of_its_map():
    _, (_, venues) = heard(smart_components(5, "9c0001"), 178)
    letters = {venue.exchangeLetter for venue in venues}
    assert set(best_letters(SPY, 400)) <= letters
    assert len(best_letters(SPY, 400)) == len(set(best_letters(SPY, 400))) == 9
    assert heard(smart_components(5, "nothing"), 178)[1] == (5, [])
