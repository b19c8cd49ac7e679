"""The stands: one for each adapter, shared by all its trials."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.broker.conformance.simulated import SimulatedStand, simulated_stand
from tests.broker.conformance.trial import Trial

STANDS = {"interactive_brokers": simulated_stand}


@pytest.fixture(scope="session", params=list(STANDS))
def shared_stand(request: pytest.FixtureRequest) -> Iterator[SimulatedStand]:
    """The broker's side, started once: each trial takes contracts and order references of its own."""
    with STANDS[request.param]() as stand:
        yield stand


@pytest.fixture
async def stand(shared_stand: SimulatedStand) -> AsyncIterator[SimulatedStand]:
    shared_stand.open()
    yield shared_stand
    await shared_stand.close()


@pytest.fixture
async def trial(stand: SimulatedStand) -> AsyncIterator[Trial]:
    """An adapter on trial."""
    trial = Trial(stand.market, stand.adapter, stand.again)
    yield trial
    await trial.stop()
