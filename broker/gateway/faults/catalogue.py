"""Every fault that there is, by subject."""

from collections.abc import Mapping
from typing import Any

from broker.gateway.errors import GatewayError
from broker.gateway.faults import (
    account,
    connection,
    executions,
    market_data,
    orders,
    requests,
    servers,
    stream,
)
from broker.gateway.faults.fault import Fault, accepted

SUBJECTS: Mapping[str, tuple[type[Fault], ...]] = {
    "The connection": connection.FAULTS,
    "The byte stream": stream.FAULTS,
    "The broker's servers": servers.FAULTS,
    "Requests": requests.FAULTS,
    "Market data": market_data.FAULTS,
    "Orders": orders.FAULTS,
    "Executions and commissions": executions.FAULTS,
    "The account": account.FAULTS,
}
CATALOGUE: Mapping[str, type[Fault]] = {fault.name: fault for faults in SUBJECTS.values() for fault in faults}


def find(name: str) -> type[Fault]:
    """Raises GatewayError when there is no such fault."""
    if name not in CATALOGUE:
        raise GatewayError(f"no fault {name!r}: there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def described() -> list[dict[str, Any]]:
    """The catalogue as the control port lists it."""
    return [
        {
            "name": fault.name,
            "wire": fault.wire,
            "suffers": fault.suffers,
            "parameters": {each.name: f"{each.allowed}: {each.meaning}" for each in accepted(fault)},
        }
        for fault in CATALOGUE.values()
    ]
