"""Every fault that there is, by subject."""

from collections.abc import Mapping
from difflib import get_close_matches
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
from broker.gateway.faults.fault import Fault, Parameter, accepted

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
        meant = " or ".join(get_close_matches(name, CATALOGUE))
        hint = f"did you mean {meant}? " if meant else ""
        raise GatewayError(f"no fault {name!r}: {hint}the command faults lists them all")
    return CATALOGUE[name]


def described() -> list[dict[str, Any]]:
    """The catalogue as the control port lists it."""
    return [
        {
            "name": fault.name,
            "wire": fault.wire,
            "suffers": fault.suffers,
            "parameters": [_described(each) for each in accepted(fault)],
        }
        for fault in CATALOGUE.values()
    ]


def _described(parameter: Parameter) -> dict[str, Any]:
    words = {"name": parameter.name, "takes": parameter.allowed, "meaning": parameter.meaning}
    return words if parameter.required else {**words, "default": parameter.shown_default}
