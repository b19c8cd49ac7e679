"""Every adapter keeps every promise of the `Broker` protocol."""

import pytest

from tests.broker.conformance import data_promises, link_promises, order_promises
from tests.broker.conformance.promise import Promise
from tests.broker.conformance.trial import Trial

PROMISES = (*link_promises.PROMISES, *data_promises.PROMISES, *order_promises.PROMISES)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda each: each.__name__)
async def test_an_adapter_keeps_its_promise(trial: Trial, promise: Promise) -> None:
    await promise(trial)
    trial.check()
