"""What an untouched ib_async believes when the gateway is wrong about the account."""

import pytest
from ib_async import LimitOrder


async def bought(script, ib, legs, until):
    trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 2, 0.70, tif="DAY"))
    await until(lambda: trade.orderStatus.status == "Filled" and ib.positions())


def held(ib):
    return {(p.contract.conId, p.position) for p in ib.positions()}


@pytest.mark.fault("wrong_position")
async def test_a_wrong_quantity_is_shown_at_once_and_after_a_new_connect_until_healed(script, connect, until):
    legs = await script.list_condor()
    con_id = legs["P90"].conId
    async with connect(script) as ib:
        await bought(script, ib, legs, until)
        await script.inflict("wrong_position", con_id=con_id, quantity=7)
        await until(lambda: held(ib) == {(con_id, 7)})
        await until(lambda: [item.position for item in ib.portfolio()] == [7])
        assert [fill.execution.shares for fill in ib.fills()] == [2]
    await until(lambda: not script.gateway.sessions)
    async with connect(script) as ib:
        assert held(ib) == {(con_id, 7)}
        await script.heal()
        await until(lambda: held(ib) == {(con_id, 2)})


@pytest.mark.fault("wrong_position")
async def test_a_held_position_can_be_missing(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await bought(script, ib, legs, until)
        await script.inflict("wrong_position", con_id=legs["P90"].conId, quantity=0)
        await until(lambda: not ib.positions())
    await until(lambda: not script.gateway.sessions)
    async with connect(script) as ib:
        assert ib.positions() == ib.portfolio() == []
        assert ib.fills()


@pytest.mark.fault("wrong_position")
async def test_a_position_can_be_shown_that_is_not_there(script, connect, until):
    legs = await script.list_condor()
    con_id = legs["C105"].conId
    async with connect(script) as ib:
        await script.inflict("wrong_position", con_id=con_id, quantity=-3)
        await until(lambda: held(ib) == {(con_id, -3)})
    await until(lambda: not script.gateway.sessions)
    async with connect(script) as ib:
        assert held(ib) == {(con_id, -3)}
        await script.heal()
        await until(lambda: held(ib) == set())


@pytest.mark.fault("wrong_cost")
async def test_a_wrong_average_cost_is_believed(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await bought(script, ib, legs, until)
        true_cost = ib.positions()[0].avgCost
        await script.inflict("wrong_cost", con_id=legs["P90"].conId, by_usd=10.0)
        await until(lambda: ib.positions()[0].avgCost == pytest.approx(true_cost + 10))
        await until(lambda: ib.portfolio()[0].averageCost == pytest.approx(true_cost + 10))
        await script.heal()
        await until(lambda: ib.positions()[0].avgCost == pytest.approx(true_cost))


@pytest.mark.fault("wrong_account_value")
async def test_a_wrong_account_value_is_believed(script, connect, until):
    def net(ib):
        return {v.value for v in ib.accountValues() if v.tag == "NetLiquidation"}

    async with connect(script) as ib:
        true_value = net(ib)
        await script.inflict("wrong_account_value", key="NetLiquidation", value="1.00")
        await until(lambda: net(ib) == {"1.00"})
        await script.heal()
        await until(lambda: net(ib) == true_value)


@pytest.mark.parametrize("name", ["wrong_position", "wrong_cost"])
async def test_what_is_not_there_cannot_be_wrong(script, name):
    given = {"quantity": 1} if name == "wrong_position" else {"by_usd": 1.0}
    reply = await script.ask("fault", name=name, con_id=4711, **given)
    assert f"fault {name}: " in reply["error"]
    assert (await script.tell("faults"))["active"] == []
