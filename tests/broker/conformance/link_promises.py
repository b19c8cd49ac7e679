"""What an adapter promises about its link, and about questions when it has none."""

import asyncio
from collections.abc import Awaitable

from broker.events import AccountChanged, LinkChanged, LinkState
from broker.protocol import Broker
from options import Contract
from tests.broker.conformance.promise import Promise, account_of, refusal, refused
from tests.broker.conformance.trial import Trial

IN_TIME_S = 5.0


async def before_run_it_is_down_and_claims_nothing(trial: Trial) -> None:
    broker = trial.prepare()
    assert broker.link is LinkState.DOWN, f"the link is {broker.link.value} before run"
    assert broker.link_since is None, "the link has a since before run"
    assert not broker.account and not broker.is_paper, "an account is named before the broker told one"
    assert broker.lines_used == 0 and broker.drain() == [], "something was said before run"
    await refusal("a picture before run", broker.picture())


async def it_connects_and_names_the_account_and_its_figures(trial: Trial) -> None:
    broker = await trial.connect()
    states = [event.state for event in trial.all(LinkChanged)]
    assert states == [LinkState.CONNECTING, LinkState.UP], f"the link went {states}"
    assert trial.all(LinkChanged)[-1].resubscribe, "up without a word that no line is open"
    assert broker.attempts == 0, f"{broker.attempts} attempts counted since the success"
    assert broker.link_since is not None and broker.link_since.tzinfo is not None, "up since an unknown time"
    account_of(broker)
    assert broker.is_paper, "the paper account is not told from a live one"
    figure = await trial.until(
        AccountChanged, "NetLiquidation", lambda event: event.key == "NetLiquidation" and bool(event.value)
    )
    assert figure.account == broker.account, f"a figure of {figure.account}"


async def a_lost_connection_is_told_and_made_again_without_lines(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    broker.subscribe(put)
    trial.forget()
    await trial.market.drop()
    await trial.down()
    up = await trial.up_again()
    assert up.resubscribe, "up after a lost connection without a word that no line is open"
    assert broker.lines_used == 0 and await trial.market.lines() == 0, "lines are counted that nobody opened"
    assert broker.account, "the account was forgotten with the connection"
    await broker.picture()


async def lost_servers_are_told_from_a_lost_connection(trial: Trial) -> None:
    broker = await trial.connect()
    broker.subscribe(await trial.market.list_put(2.00, 2.10))
    await trial.heard_out()
    for lines_kept in (True, False):
        trial.forget()
        await trial.market.lose_servers()
        await trial.until(LinkChanged, "the servers are lost", lambda event: event.state is LinkState.LOST)
        await refusal("a question without servers", broker.picture())
        await trial.market.regain_servers(lines_kept)
        up = await trial.up_again()
        assert up.resubscribe is not lines_kept, f"lines kept: {lines_kept}, resubscribe: {up.resubscribe}"
        assert broker.lines_used == int(lines_kept), f"{broker.lines_used} lines, kept: {lines_kept}"


async def health_tells_what_the_link_is_about(trial: Trial) -> None:
    broker = await trial.connect()
    before = broker.health
    broker.subscribe(await trial.market.list_put(2.00, 2.10))
    await trial.heard_out()
    after = broker.health
    assert after.state is broker.link and after.since == broker.link_since, f"{after}, link {broker.link}"
    assert after.connected is not None and after.attempts == broker.attempts == 0, f"{after}"
    assert (before.lines_used, after.lines_used) == (0, 1), f"{after.lines_used} lines in health"
    assert after.received > before.received, f"{after.received} messages received, {before.received} before"
    assert after.sent > before.sent, f"{after.sent} messages sent, {before.sent} before"
    assert after.heard_s is not None and 0 <= after.heard_s < IN_TIME_S, f"last heard {after.heard_s} s ago"
    await trial.stop()
    assert broker.health.connected is None and broker.health.heard_s is None, (
        f"after the end: {broker.health}"
    )
    assert broker.health.received >= after.received, "messages are forgotten with the connection"


async def a_connection_is_renewed_on_purpose(trial: Trial) -> None:
    broker = trial.prepare()
    broker.renew("nothing is connected yet")
    broker = await trial.connect()
    broker.subscribe(await trial.market.list_put(2.00, 2.10))
    trial.forget()
    broker.renew("it has lived long")
    down = await trial.down()
    assert "it has lived long" in down.reason, f"the reason is lost: {down.reason}"
    assert (await trial.up_again()).resubscribe, "up after a renewal without a word that no line is open"
    assert broker.lines_used == 0 and await trial.market.lines() == 0, "lines outlive their connection"
    await broker.picture()


async def a_connection_gone_silent_is_found_out_and_made_again(trial: Trial) -> None:
    await trial.connect(impatient=True)
    trial.forget()
    await trial.market.silence()
    await trial.down()
    await trial.up_again()


async def a_question_without_answer_ends_in_time(trial: Trial) -> None:
    broker = await trial.connect(impatient=True)
    put = await trial.market.list_put(2.00, 2.10)
    await trial.market.silence()
    try:
        async with asyncio.timeout(IN_TIME_S):
            await asyncio.gather(*(refusal(*each) for each in _questions(broker, put)))
    except TimeoutError:
        raise AssertionError(f"a question waits longer than {IN_TIME_S:g} s for its answer") from None


def _questions(broker: Broker, put: Contract) -> list[tuple[str, Awaitable[object]]]:
    return [
        ("a picture that is not answered", broker.picture()),
        ("contracts that are not answered", broker.qualify([put])),
        ("an underlying that is not answered", broker.underlying("IWM")),
    ]


async def without_a_connection_nothing_is_sent_now_or_later(trial: Trial) -> None:
    broker = await trial.connect()
    working, other = await trial.working_spread(), await trial.spread(-1.50)
    trial.forget()
    await trial.market.drop()
    await trial.down()
    refused("an order without a connection", lambda: broker.place(other))
    refused("a new limit without a connection", lambda: broker.reprice(working.order_ref, -1.40))
    refused("a cancel without a connection", lambda: broker.cancel(working.order_ref))
    broker.subscribe(other.legs[0].contract)
    assert broker.lines_used == 0, "a line is counted that could not be opened"
    await trial.up_again()
    await trial.heard_out()
    assert await trial.placed(other.order_ref) == 0, "an order refused without a connection was sent later"
    (order,) = [each for each in await trial.market.orders() if each.order_ref == working.order_ref]
    assert order.lives and order.limit_usd == -1.50, f"{order}: changed by what was refused"
    assert broker.lines_used == 0, "a line asked for without a connection was opened later"


async def cancelling_run_ends_the_connection(trial: Trial) -> None:
    before = await trial.market.connections()
    broker = await trial.connect()
    assert await trial.market.connections() == before + 1
    await trial.stop()
    assert broker.link is LinkState.DOWN, f"the link is {broker.link.value} after run was cancelled"
    assert await trial.market.connections() == before, "the connection outlives run"
    refused("an order after the end", lambda: broker.reprice("any", 1.0))


PROMISES: tuple[Promise, ...] = (
    before_run_it_is_down_and_claims_nothing,
    it_connects_and_names_the_account_and_its_figures,
    a_lost_connection_is_told_and_made_again_without_lines,
    lost_servers_are_told_from_a_lost_connection,
    health_tells_what_the_link_is_about,
    a_connection_is_renewed_on_purpose,
    a_connection_gone_silent_is_found_out_and_made_again,
    a_question_without_answer_ends_in_time,
    without_a_connection_nothing_is_sent_now_or_later,
    cancelling_run_ends_the_connection,
)
