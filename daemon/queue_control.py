"""Contracts that were parked tried again on demand, over the control API."""

from collections.abc import Awaitable, Callable, Collection

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import BaseModel, Field

from options import ConId


class Retry(BaseModel):
    """`con_ids` None: all that are parked."""

    con_ids: list[int] | None = Field(default=None, max_length=10_000)


def queue_routes(
    owner: Callable[..., None], retry: Callable[[Collection[ConId] | None], Awaitable[int]]
) -> APIRouter:
    """`POST /queue/retry`, for the owner: parked contracts wait for a visit again; says how many."""
    routes = APIRouter()

    @routes.post("/queue/retry", dependencies=[Depends(owner)])
    async def retry_parked(wish: Retry) -> dict[str, int]:
        return {"retried": await retry(None if wish.con_ids is None else [ConId(c) for c in wish.con_ids])}

    return routes
