"""Half a minute of the model market, near and far from the money, is read without a complaint."""

import math

import pytest

from tests.conformance.clients import NAMES, ApiClient, connected
from tests.conformance.stage import opened_gateway

LINES = 8


async def lines_of(client: ApiClient) -> list[int]:
    """The request ids of lines on SPY and on options of its nearest expiry, near and far from the money."""
    contract = client.parts.Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "SPY", "STK", "SMART", "USD"
    client.calls.reqContractDetails(1, contract)
    _, share = await client.told("contractDetails", lambda req_id, _: req_id == 1)
    client.calls.reqSecDefOptParams(2, "SPY", "", "STK", share.contract.conId)
    await client.told("securityDefinitionOptionParameterEnd")
    _, _, _, _, _, expiries, _ = next(
        found for found in client.all("securityDefinitionOptionParameter") if found[1] == "SMART"
    )
    contract.secType, contract.lastTradeDateOrContractMonth = "OPT", min(expiries)
    client.calls.reqContractDetails(3, contract)
    await client.told("contractDetailsEnd", lambda req_id: req_id == 3)
    options = [found.contract for req_id, found in client.all("contractDetails") if req_id == 3]
    options.sort(key=lambda option: (option.strike, option.right))
    chosen = [share.contract, *options[:: max(1, len(options) // LINES)]]
    for req_id, each in enumerate(chosen, 100):
        client.calls.reqMktData(req_id, each, "", False, False, [])
    return list(range(100, 100 + len(chosen)))


@pytest.mark.parametrize("name", NAMES)
async def test_quotes_of_the_model_are_read_without_a_complaint(name: str) -> None:
    async with (
        opened_gateway("--market", "model", "--speed", "0") as (port, control),
        connected(name, port, 1) as client,
    ):
        lines = await lines_of(client)
        await control.tell("step", seconds=30)
        since = client.now
        client.calls.reqCurrentTime()
        await client.told("currentTime", since=since)
        told = list(client.listener.told)
        assert [heard for heard in client.heard if heard.complaint] == []
    quoted = {arguments[0] for call, arguments in told if call in ("tickPrice", "priceSizeTick")}
    assert quoted == set(lines)
    computed = [arguments[3:] for call, arguments in told if call == "tickOptionComputation"]
    assert len(computed) > len(lines)
    assert all(value is None or math.isfinite(value) for values in computed for value in values)
