"""Contracts: details, chains, symbols, price increments, exchanges."""

from tests.conformance.day import Day
from tests.conformance.stage import CHAIN, EXPIRY

STRIKES = [90.0, 95.0, 105.0, 110.0]
DAY = EXPIRY.replace("-", "")


async def details(day: Day) -> None:
    """An option by its terms, the share by its id, and a whole month of options."""
    client, calls = day.client, day.client.calls
    calls.reqContractDetails(asked := day.request(), day.contract("C105"))
    _, found = await client.told("contractDetails", lambda req_id, _: req_id == asked)
    await client.told("contractDetailsEnd", lambda req_id: req_id == asked)
    day.same(
        10,
        found.contract,
        conId=day.con_ids["C105"],
        symbol="XYZ",
        secType="OPT",
        lastTradeDateOrContractMonth=DAY,
        strike=105.0,
        right="C",
        multiplier="100",
        exchange="SMART",
        currency="USD",
        localSymbol="XYZ   260417C00105000",
        tradingClass="XYZ",
    )
    day.same(10, found, minTick=0.01, underConId=day.con_ids["XYZ"], underSymbol="XYZ", underSecType="STK")
    day.same(10, found, priceMagnifier=1, contractMonth=DAY[:6], realExpirationDate=DAY, aggGroup=2)
    day.same(10, found, timeZoneId="US/Eastern", lastTradeTime="16:00:00", evMultiplier=0)
    if client.version >= 164:
        day.same(10, found, minSize=1.0, sizeIncrement=1.0, suggestedSizeIncrement=1.0)
    assert found.tradingHours and found.liquidHours and found.validExchanges and found.orderTypes

    calls.reqContractDetails(asked := day.request(), day.make("Contract", conId=day.con_ids["XYZ"]))
    _, share = await client.told("contractDetails", lambda req_id, _: req_id == asked)
    day.same(10, share.contract, symbol="XYZ", secType="STK", primaryExchange="NYSE", strike=0.0)
    day.same(10, share, longName="XYZ", marketName="XYZ", underConId=0, aggGroup=1)

    month = day.make("Contract", symbol="XYZ", secType="OPT", exchange="SMART", currency="USD")
    month.lastTradeDateOrContractMonth = DAY[:6]
    calls.reqContractDetails(asked := day.request(), month)
    await client.told("contractDetailsEnd", lambda req_id: req_id == asked)
    listed = [found.contract.conId for req_id, found in client.all("contractDetails") if req_id == asked]
    day.equal(10, sorted(listed), sorted(day.con_ids[name] for name in CHAIN))


async def refusals(day: Day) -> None:
    """A hole in the chain and a combo have no details."""
    client, calls = day.client, day.client.calls
    for contract, code in ((day.contract("C100"), 200), (day.combo(P90="BUY", P95="SELL"), 321)):
        calls.reqContractDetails(asked := day.request(), contract)
        error = await client.told("error", lambda req_id, *_, asked=asked: req_id == asked)
        day.equal(4, error[1], code)


async def chain(day: Day) -> None:
    """One set of expiries and strikes for each exchange at which the option's details say that it trades."""
    client, calls = day.client, day.client.calls
    calls.reqSecDefOptParams(asked := day.request(), "XYZ", "", "STK", day.con_ids["XYZ"])
    await client.told("securityDefinitionOptionParameterEnd", lambda req_id: req_id == asked)
    chains = [found for found in client.all("securityDefinitionOptionParameter") if found[0] == asked]
    (_, option) = await client.told("contractDetails", lambda _, found: found.contract.secType == "OPT")
    day.equal(75, sorted(found[1] for found in chains), sorted(option.validExchanges.split(",")))
    for _, _, under, trading_class, multiplier, expiries, strikes in chains:
        day.equal(75, (int(under), trading_class, multiplier), (day.con_ids["XYZ"], "XYZ", "100"))
        day.equal(75, (list(expiries), sorted(strikes)), ([DAY], STRIKES))


async def symbols(day: Day) -> None:
    client, calls = day.client, day.client.calls
    calls.reqMatchingSymbols(asked := day.request(), "XY")
    _, found = await client.told("symbolSamples", lambda req_id, _: req_id == asked)
    (sample,) = found
    day.same(79, sample.contract, conId=day.con_ids["XYZ"], symbol="XYZ", secType="STK", currency="USD")
    day.same(79, sample.contract, primaryExchange="NYSE")
    day.equal(79, "OPT" in sample.derivativeSecTypes, True)
    if client.version >= 176:
        day.same(79, sample.contract, description="XYZ", issuerId="")


async def price_increments(day: Day) -> None:
    client, calls = day.client, day.client.calls
    calls.reqMarketRule(26)
    rule, increments = await client.told("marketRule")
    day.equal(93, (rule, len(increments)), (26, 1))
    day.same(93, increments[0], lowEdge=0.0, increment=0.01)


async def exchanges(day: Day) -> None:
    """The exchanges behind the letters of a quote, by the name that tickReqParams gave."""
    client, calls = day.client, day.client.calls
    calls.reqSmartComponents(asked := day.request(), "9c0001")
    req_id, found = await client.told("smartComponents")
    day.equal(82, req_id, asked)
    day.equal(82, [component.bitNumber for component in found], list(range(len(found))), "bits")
    assert len({component.exchangeLetter for component in found}) == len(found) > 1
    assert all(component.exchange for component in found)
