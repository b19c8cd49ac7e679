"""Orders that depend on others: the children of a bracket, and one-cancels-all groups. Pure.

OCA types: 1 a fill cancels the others, 2 it reduces them in proportion, both before any of them can trade
(block); 3 it reduces them, but they hear of it only after the fills of that moment (no block), so two may
fill at once. The children of a parent form a group of type 3 unless they name another.

A child may trade once its parent has begun to fill, and then no more of it than its parent's share.
"""

from dataclasses import replace

from broker.gateway.exchange.order import Order, Status
from broker.gateway.protocol.order_request import OrderRequest

CANCEL, REDUCE, REDUCE_WITHOUT_BLOCK = 1, 2, 3


def in_group(request: OrderRequest, parent: Order | None) -> OrderRequest:
    """The request with the OCA group that it belongs to by default, and the group's type."""
    group = request.oca_group or (str(parent.perm_id) if parent else "")
    kind = request.oca_type or (REDUCE_WITHOUT_BLOCK if group else 0)
    return replace(request, oca_group=group, oca_type=kind)


def kept(request: OrderRequest, known: OrderRequest) -> OrderRequest:
    """A change that says nothing of a group, or of its type, leaves what is known of it."""
    return replace(
        request,
        oca_group=request.oca_group or known.oca_group,
        oca_type=request.oca_type or known.oca_type,
    )


def is_over(member: Order) -> bool:
    """Whether nobody may join a group because of this member's fills."""
    return member.status is Status.FILLED or (
        member.filled > 0 and member.request.oca_type in (CANCEL, REDUCE)
    )


def reduced(remaining: int, filled: int, before: int) -> int:
    """What remains of an order after another of its group filled `filled` of its `before` remaining."""
    return remaining * (before - filled) // before


def tradable(order: Order, parent: Order | None) -> int:
    """How many units of an order may trade now; a parent that has ended has left its children their size."""
    if parent is None or not parent.lives:
        return order.remaining
    return max(0, min(order.remaining, share_of(order, parent) - order.filled))


def share_of(order: Order, parent: Order) -> int:
    """How large a child may be after what its parent has filled and its group has taken off."""
    whole = order.request.quantity + order.reduced
    return min(whole, whole * parent.filled // parent.request.quantity) - order.reduced
