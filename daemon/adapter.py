"""Which adapter serves the settings; nothing above this module knows its name."""

from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import Broker
from daemon.clock import Pulse, SimulatedPulse
from daemon.settings import BrokerSettings

MESSAGES_PER_S = 40


def make_broker(broker: BrokerSettings, pulse: Pulse, simulated_port: int | None) -> Broker:
    """The adapter, not yet running. `simulated_port` is the simulated gateway's, whose clock `pulse` then is:
    it waits for what the adapter has yet to read."""
    adapter = InteractiveBrokers(
        broker.host,
        broker.port if simulated_port is None else simulated_port,
        broker.client_id,
        pulse,
        account=broker.account,
        connect_timeout_s=broker.connect_timeout_s,
        throttle_per_s=MESSAGES_PER_S if simulated_port is None else None,
    )
    if isinstance(pulse, SimulatedPulse):
        pulse.client = adapter
    return adapter
