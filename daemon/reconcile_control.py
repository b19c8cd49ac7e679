"""Comparing with the broker's books on demand, over the control API."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.params import Depends

from options import BrokerError

Compare = Callable[[], Awaitable[dict[str, Any]]]
"""Compares now; raises BrokerError without an answer, LakeError when it is not recorded."""


def reconcile_routes(owner: Callable[..., None], compare: Compare) -> APIRouter:
    """`POST /reconcile`, for the owner: what was found now, and what stands."""
    routes = APIRouter()

    @routes.post("/reconcile", dependencies=[Depends(owner)])
    async def reconcile() -> dict[str, Any]:
        try:
            return await compare()
        except BrokerError as error:
            raise HTTPException(503, str(error)) from error

    return routes
