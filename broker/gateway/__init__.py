"""The simulated IB Gateway: a program of its own that speaks the TWS text protocol.

The untouched client library connects to it as to a real gateway. Everything in here imports `options`
only; the rest of the house meets it over its sockets. `main` runs it.
"""

from broker.gateway.main import main

__all__ = ["main"]
