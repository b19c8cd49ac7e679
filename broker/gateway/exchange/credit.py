"""Whether the account can carry an order: the account as it would be once the order has filled."""

from collections.abc import Iterable, Mapping

from broker.gateway.errors import rejection
from broker.gateway.exchange.account import Account
from broker.gateway.exchange.commission import Trade
from broker.gateway.exchange.matching import Terms
from broker.gateway.exchange.order import UNITS_PER_USD, Legs
from broker.gateway.exchange.values import Values
from options import ConId, Leg, UsdPerContract


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


def held(trades: Iterable[Trade]) -> list[Leg]:
    """What the trades would leave in an account."""
    return [Leg(t.contract, t.quantity, UsdPerContract(t.price * t.contract.multiplier)) for t in trades]


def with_legs(account: Account, extra: Iterable[Leg]) -> Account:
    """A copy of the account that has bought `extra` at their costs."""
    copy = Account(
        account.account_id,
        account.deposit_usd,
        account.cash_usd,
        account.realized_usd,
        dict(account.holdings),
    )
    for leg in extra:
        copy.book(leg.contract, leg.quantity, leg.average_cost / leg.contract.multiplier, 0.0)
    return copy


def refuse_beyond_means(before: Values, after: Values) -> None:
    """Raises OrderRefused when an order needs more than the account has; one that frees funds may always."""
    frees = after.initial_margin < before.initial_margin or after.available_funds >= before.available_funds
    if after.available_funds < 0 and not frees:
        raise rejection(
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN"
            f" VALUE [{after.equity_with_loan:.2f} USD] MUST EXCEED THE INITIAL MARGIN"
            f" [{after.initial_margin:.2f} USD]"
        )
