"""Whether the account can carry an order: the account as it would be once the order has filled."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broker.gateway.errors import rejection
from broker.gateway.exchange.account import Account
from broker.gateway.exchange.commission import Trade, commissions_usd
from broker.gateway.exchange.matching import Terms
from broker.gateway.exchange.order import UNITS_PER_USD, Legs
from broker.gateway.exchange.values import Values
from options import ConId


def trades_of(quantity: int, legs: Legs, terms: Terms | None, marks: Mapping[ConId, float]) -> list[Trade]:
    """The trades of `quantity` units at the natural prices, without quotes at the last marks."""
    trades = []
    for i, (contract, amount) in enumerate(legs):
        if terms:
            price = terms.bids_asks[i][1 if amount > 0 else 0] / UNITS_PER_USD
        else:
            price = marks.get(contract.con_id, 0.0)
        trades.append(Trade(contract, amount * quantity, price))
    return trades


def with_trades(account: Account, trades: Sequence[Trade]) -> Account:
    """A copy of the account that has made these trades as one order, commission paid."""
    copy = replace(account, holdings=dict(account.holdings))
    for trade, fee in zip(trades, commissions_usd(trades), strict=True):
        copy.book(trade.contract, trade.quantity, trade.price, fee)
    return copy


def only_closes(account: Account, trades: Sequence[Trade]) -> bool:
    """Whether every trade ends a holding or a part of it."""
    held = account.holdings
    return all(
        trade.contract.con_id in held
        and trade.quantity * held[trade.contract.con_id].quantity < 0
        and abs(trade.quantity) <= abs(held[trade.contract.con_id].quantity)
        for trade in trades
    )


def refuse_beyond_means(before: Values, after: Values, *, closes: bool) -> None:
    """Raises OrderRefused when an order needs more than the account has. One that leaves it no less may
    always, and so may one that only closes (`closes`) and needs no more margin, whatever it costs."""
    frees = after.available_funds >= before.available_funds
    if (
        after.available_funds < 0
        and not frees
        and not (closes and after.initial_margin <= before.initial_margin)
    ):
        raise rejection(
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN"
            f" VALUE [{after.equity_with_loan:.2f} USD] MUST EXCEED THE INITIAL MARGIN"
            f" [{after.initial_margin:.2f} USD]"
        )
