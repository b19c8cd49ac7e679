"""The suite itself on trial: it finds every broken adapter, and every promise is broken by one."""

import asyncio
from contextlib import suppress

import pytest

from tests.broker.conformance import broken_orders
from tests.broker.conformance.broken import Wrapped
from tests.broker.conformance.simulated import SimulatedStand
from tests.broker.conformance.test_promises import PROMISES
from tests.broker.conformance.trial import PATIENCE_S, Trial

WITHOUT_NEWS_S = 3.0  # for those that are found out by what they never say
BROKEN = Wrapped.__subclasses__()
assert broken_orders.__name__ in {each.__module__ for each in BROKEN}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
async def test_a_broken_adapter_is_found_out(stand: SimulatedStand, broken: type[Wrapped]) -> None:
    trial = Trial(
        stand.market,
        lambda impatient: broken.around(stand, impatient),
        lambda: broken(stand.again()),
        patience_s=WITHOUT_NEWS_S if "not told" in broken.says else PATIENCE_S,
    )
    try:
        with pytest.raises(AssertionError) as verdict:
            await vars(broken)["breaks"](trial)
            trial.check()
    finally:
        await trial.stop()
        await _end_what_it_left(trial)
    assert broken.says in str(verdict.value)


def test_every_promise_is_broken_by_an_adapter() -> None:
    assert {vars(broken)["breaks"] for broken in BROKEN} == set(PROMISES)


async def _end_what_it_left(trial: Trial) -> None:
    left = getattr(trial.broker, "left_over", None)
    if left is not None:
        left.cancel()
        with suppress(asyncio.CancelledError):
            await left
