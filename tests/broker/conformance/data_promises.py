"""What an adapter promises about contracts, lines and quotes."""

from dataclasses import replace

from broker.events import BrokerNotice, DailyKind, DailyValues, QuoteChanged
from options import ConId, Contract, SecType
from tests.broker.conformance.promise import Promise, refusal, refused
from tests.broker.conformance.trial import Trial


async def contracts_are_known_in_the_order_asked(trial: Trial) -> None:
    broker = await trial.connect()
    high, low = await trial.market.list_put(2.00, 2.10), await trial.market.list_put(1.00, 1.05)
    unknown = replace(low, con_id=ConId(0), strike=99_999.0)
    by_terms = replace(low, con_id=ConId(0))
    first, none, second, third = await broker.qualify([high, unknown, by_terms, low])
    assert none is None, f"{none} was made up for an unknown contract"
    assert first is not None and second is not None, "a listed contract is not found"
    assert first.con_id == high.con_id, "contracts come in another order than asked"
    assert second == third and second.con_id == low.con_id, f"{second} by its terms, {third} by its id"
    wanted = (low.symbol, low.sec_type, low.expiry, low.strike, low.right, low.multiplier)
    found = (
        *(second.symbol, second.sec_type, second.expiry),
        *(second.strike, second.right, second.multiplier),
    )
    assert found == wanted and second.min_tick > 0, f"{found}, tick {second.min_tick}; {wanted} was asked for"


async def an_underlying_is_found_and_an_unknown_one_refused(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    found = await broker.underlying(put.symbol)
    assert (found.symbol, found.sec_type) == (put.symbol, SecType.STOCK) and found.con_id, f"{found}"
    error = await refusal("an unknown symbol", broker.underlying("NOPE"))
    assert "NOPE" in str(error), f"the error does not say what was asked: {error}"


async def a_chain_is_sorted_and_whole(trial: Trial) -> None:
    broker = await trial.connect()
    high, low = await trial.market.list_put(2.00, 2.10), await trial.market.list_put(1.00, 1.05)
    chains = await broker.chain(await broker.underlying(high.symbol))
    for chain in chains:
        assert chain.symbol == high.symbol and chain.multiplier == 100, f"{chain.symbol} {chain.multiplier}"
        assert list(chain.expiries) == sorted(set(chain.expiries)), "expiries are not ascending"
        assert list(chain.strikes) == sorted(set(chain.strikes)), "strikes are not ascending"
    classes = [chain.trading_class for chain in chains]
    assert len(classes) == len(set(classes)), f"a trading class comes twice: {classes}"
    (chain,) = [each for each in chains if each.trading_class == high.trading_class]
    assert high.expiry in chain.expiries and {high.strike, low.strike} <= set(chain.strikes), "a hole"


async def one_contract_has_one_line_however_often_asked(trial: Trial) -> None:
    broker = await trial.connect()
    put, other = await trial.market.list_put(2.00, 2.10), await trial.market.list_put(1.00, 1.05)
    for contract in (put, other, put):
        broker.subscribe(contract)
    await quote_of(trial, put)
    await quote_of(trial, other)
    assert broker.lines_used == await trial.market.lines() == 2, (
        f"{broker.lines_used} lines by the adapter's count, {await trial.market.lines()} by the broker's"
    )
    for _ in range(2):
        broker.unsubscribe(put.con_id)
        broker.unsubscribe(other.con_id)
    await trial.heard_out()
    assert broker.lines_used == await trial.market.lines() == 0, "a closed line is open at the broker"
    refused("a line for a contract without id", lambda: broker.subscribe(replace(put, con_id=ConId(0))))


async def a_quote_is_whole_and_says_when_it_came(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    broker.subscribe(put)
    quote = await trial.until(
        QuoteChanged,
        "a quote with Greeks",
        lambda event: event.con_id == put.con_id and event.delta is not None,
    )
    assert (quote.bid, quote.ask) == (2.00, 2.10), f"{quote.bid} to {quote.ask}, quoted is 2.00 to 2.10"
    assert quote.is_live and quote.quote_time is not None and quote.greeks_time is not None, f"{quote}"
    assert (quote.iv, quote.delta) == (0.2, -0.3) and quote.underlying_price == 245.0, f"{quote}"
    assert (quote.gamma, quote.theta, quote.vega) == (0.01, -0.05, 0.1), f"units: {quote}"


async def what_is_unknown_is_none(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(None, 1.10)
    broker.subscribe(put)
    quote = await quote_of(trial, put)
    assert (quote.bid, quote.bid_size) == (None, None), f"a bid of {quote.bid} that nobody made"
    trial.forget()
    await trial.market.quote(put, 1.00, None, greeks=False)
    quote = await trial.until(QuoteChanged, "a bid without an ask", lambda event: event.bid == 1.00)
    assert (quote.ask, quote.ask_size) == (None, None), f"an ask of {quote.ask} that is gone"
    bare = await trial.market.list_put(2.00, 2.10)
    await trial.market.quote(bare, 2.00, 2.10, greeks=False)
    broker.subscribe(bare)
    quote = await quote_of(trial, bare)
    greeks = (quote.iv, quote.delta, quote.gamma, quote.theta, quote.vega, quote.greeks_time)
    assert greeks == (None,) * 6, f"Greeks that were not computed: {greeks}"


async def a_new_line_keeps_nothing_of_the_last(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    broker.subscribe(put)
    await quote_of(trial, put)
    broker.unsubscribe(put.con_id)
    await trial.heard_out()
    trial.forget()
    await trial.market.quote(put, None, 3.10, greeks=False)
    broker.subscribe(put)
    await quote_of(trial, put)
    await trial.heard_out()
    quotes = [event for event in trial.all(QuoteChanged) if event.con_id == put.con_id]
    assert all(quote.bid is None and quote.delta is None for quote in quotes), (
        f"of the last line: bid {quotes[0].bid}, delta {quotes[0].delta}"
    )


async def a_closed_line_is_silent(trial: Trial) -> None:
    broker = await trial.connect()
    put, other = await trial.market.list_put(2.00, 2.10), await trial.market.list_put(1.00, 1.05)
    broker.subscribe(put)
    broker.subscribe(other)
    await quote_of(trial, put)
    broker.unsubscribe(put.con_id)
    trial.forget()
    await trial.market.quote(put, 3.00, 3.10)
    await trial.market.quote(other, 3.00, 3.10)
    await trial.until(
        QuoteChanged, "the other's quote", lambda event: event.con_id == other.con_id and event.bid == 3.00
    )
    late = [event for event in trial.all(QuoteChanged) if event.con_id == put.con_id]
    assert not late, f"a quote of a closed line: {late}"


async def delayed_data_are_not_live(trial: Trial) -> None:
    broker = await trial.connect()
    await trial.market.delay_data()
    put = await trial.market.list_put(2.00, 2.10)
    broker.subscribe(put)
    quote = await quote_of(trial, put)
    assert not quote.is_live, "delayed data are said to be live"


async def a_refused_line_is_told_and_not_counted(trial: Trial) -> None:
    broker = await trial.connect()
    await trial.market.refuse_lines()
    put = await trial.market.list_put(2.00, 2.10)
    broker.subscribe(put)
    await trial.until(BrokerNotice, "the line is refused", lambda event: event.con_id == put.con_id)
    assert broker.lines_used == await trial.market.lines() == 0, f"{broker.lines_used} lines are counted"


async def daily_values_are_told_and_a_refusal_too(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    broker.ask_daily(put, DailyKind.CLOSE, 3)
    told = await daily_of(trial, put.con_id)
    assert told.kind is DailyKind.CLOSE and not told.refusal and told.values, f"{told}"
    days = [day for day, _ in told.values]
    assert days == sorted(set(days)) and len(days) <= 3, f"days {days}"
    assert abs(told.values[-1][1] - 2.05) < 1e-6, f"today's value is {told.values[-1][1]}, the price 2.05"
    unknown = replace(put, con_id=ConId(2_000_000_000))
    broker.ask_daily(unknown, DailyKind.CLOSE, 3)
    refused = await daily_of(trial, unknown.con_id)
    assert refused.values == () and refused.refusal, f"values of an unknown contract: {refused}"


async def daily_of(trial: Trial, con_id: ConId) -> DailyValues:
    return await trial.until(
        DailyValues, f"daily values of {con_id}, or why there are none", lambda event: event.con_id == con_id
    )


async def quote_of(trial: Trial, contract: Contract) -> QuoteChanged:
    return await trial.until(
        QuoteChanged,
        f"a quote of {contract.label}",
        lambda event: event.con_id == contract.con_id and (event.bid or event.ask) is not None,
    )


PROMISES: tuple[Promise, ...] = (
    contracts_are_known_in_the_order_asked,
    an_underlying_is_found_and_an_unknown_one_refused,
    a_chain_is_sorted_and_whole,
    one_contract_has_one_line_however_often_asked,
    a_quote_is_whole_and_says_when_it_came,
    what_is_unknown_is_none,
    a_new_line_keeps_nothing_of_the_last,
    a_closed_line_is_silent,
    delayed_data_are_not_live,
    a_refused_line_is_told_and_not_counted,
    daily_values_are_told_and_a_refusal_too,
)
