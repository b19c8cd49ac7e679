"""Every bad day of a broker, on command or by a day's plan.

`fault` says what a fault is, `catalogue` which there are, `ward` keeps those that are active. A fault
edits messages, quotes or orders on their way; the gateway knows only that somebody may.
"""

from broker.gateway.faults.catalogue import CATALOGUE, SUBJECTS, described, find
from broker.gateway.faults.fault import ENDINGS, Fault, accepted, read
from broker.gateway.faults.requests import Request
from broker.gateway.faults.ward import Faults

__all__ = [
    "CATALOGUE",
    "ENDINGS",
    "SUBJECTS",
    "Fault",
    "Faults",
    "Request",
    "accepted",
    "described",
    "find",
    "read",
]
