"""Every bad day of a broker, on command or by a day's plan.

`fault` says what a fault is, `catalogue` which there are, `active` keeps those that are. A fault
edits messages, quotes or orders on their way; the gateway knows only that somebody may. The catalogue is
loaded with the first command: the gateway starts without it.
"""

from broker.gateway.faults.active import Faults

__all__ = ["Faults"]
