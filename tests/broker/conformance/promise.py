"""The list of promises: each a function that puts one adapter to the test and raises AssertionError."""

from collections.abc import Awaitable, Callable

from broker.protocol import Broker
from options import BrokerError
from tests.broker.conformance.trial import Trial

Promise = Callable[[Trial], Awaitable[None]]


def refused(what: str, call: Callable[[], object]) -> BrokerError:
    """The BrokerError that `call` raises; AssertionError when it raises none."""
    try:
        call()
    except BrokerError as error:
        return error
    raise AssertionError(f"no BrokerError: {what}")


async def refusal(what: str, answer: Awaitable[object]) -> BrokerError:
    """As `refused`, for a question."""
    try:
        await answer
    except BrokerError as error:
        return error
    raise AssertionError(f"no BrokerError: {what}")


def account_of(broker: Broker) -> str:
    assert broker.account, "the link is up and the account has no name"
    return broker.account
