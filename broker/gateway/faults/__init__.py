"""Every bad day of a broker, on command or by a day's plan.

`fault` says what a fault is, `catalogue` which there are, `ward` keeps those that are active. A fault
edits messages, quotes or orders on their way; the gateway knows only that somebody may. The catalogue is
loaded with the first command: the gateway starts without it.
"""

from broker.gateway.faults.ward import Faults

__all__ = ["Faults"]
