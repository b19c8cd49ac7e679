"""What the gateway says about the account: figures, holdings, profit. The same at every server version."""

from collections.abc import Iterable

from broker.gateway.exchange.account import Holding
from broker.gateway.exchange.values import Values
from broker.gateway.protocol.contract_messages import primary_exchange
from broker.gateway.protocol.order_messages import contract_fields
from broker.gateway.protocol.wire import UNSET_DOUBLE, Value

Row = tuple[str, str, str]
"""Name, value and currency of one figure."""

LEDGER_TAG = "$LEDGER"
BASE = "BASE"


def summary_rows(values: Values) -> list[Row]:
    """The figures that account summaries know by name."""
    money = {
        "NetLiquidation": values.net_liquidation,
        "TotalCashValue": values.cash,
        "SettledCash": values.cash,
        "AccruedCash": 0.0,
        "BuyingPower": values.buying_power,
        "EquityWithLoanValue": values.equity_with_loan,
        "GrossPositionValue": values.gross_position_value,
        "InitMarginReq": values.initial_margin,
        "MaintMarginReq": values.maintenance_margin,
        "AvailableFunds": values.available_funds,
        "ExcessLiquidity": values.excess_liquidity,
        "FullInitMarginReq": values.initial_margin,
        "FullMaintMarginReq": values.maintenance_margin,
        "FullAvailableFunds": values.available_funds,
        "FullExcessLiquidity": values.excess_liquidity,
        "LookAheadInitMarginReq": values.initial_margin,
        "LookAheadMaintMarginReq": values.maintenance_margin,
        "LookAheadAvailableFunds": values.available_funds,
        "LookAheadExcessLiquidity": values.excess_liquidity,
    }
    plain = [
        ("AccountType", "INDIVIDUAL", ""),
        ("Cushion", f"{values.cushion:.6f}", ""),
        ("DayTradesRemaining", "-1", ""),
        ("LookAheadNextChange", "0", ""),
        ("Leverage", f"{values.leverage:.2f}", ""),
    ]
    return plain + [(name, f"{usd:.2f}", "USD") for name, usd in money.items()]


def ledger_rows(values: Values, currency: str) -> list[Row]:
    """What is held in one currency; `BASE` means all of it, counted in the account's own, which is USD."""
    money = {
        "CashBalance": values.cash,
        "TotalCashBalance": values.cash,
        "AccruedCash": 0.0,
        "StockMarketValue": values.stock_value,
        "OptionMarketValue": values.option_value,
        "NetLiquidationByCurrency": values.net_liquidation,
        "UnrealizedPnL": values.unrealized,
        "RealizedPnL": values.realized,
    }
    rows = [("Currency", currency, currency), ("RealCurrency", currency, currency)]
    rows += [(name, f"{usd:.2f}", currency) for name, usd in money.items()]
    return [*rows, ("ExchangeRate", "1.00", currency)]


def value_rows(values: Values, account: str) -> list[Row]:
    """All figures, as account updates carry them."""
    opening = [("AccountCode", account, ""), ("AccountReady", "true", "")]
    return opening + summary_rows(values) + ledger_rows(values, BASE) + ledger_rows(values, "USD")


def chosen_rows(values: Values, tags: Iterable[str]) -> list[Row]:
    """The figures of a summary: tags by name, and $LEDGER (the base currency), $LEDGER:USD, $LEDGER:ALL."""
    by_name = {row[0]: row for row in summary_rows(values)}
    rows: list[Row] = []
    for tag in tags:
        name, _, currency = tag.partition(":")
        if name != LEDGER_TAG:
            rows += [by_name[tag]] if tag in by_name else []
            continue
        for each in {"": (BASE,), "ALL": (BASE, "USD")}.get(currency, (currency,)):
            rows += ledger_rows(values, each) if each in (BASE, "USD") else []
    return rows


def account_value(row: Row, account: str) -> list[Value]:
    """accountValue (6)."""
    return [6, 2, *row, account]


def portfolio_value(holding: Holding, price: float, account: str) -> list[Value]:
    """portfolioValue (7); `price` in USD per share."""
    contract = holding.contract
    worth = holding.quantity * price * contract.multiplier
    unrealized = worth - holding.quantity * holding.average_cost
    figures = (round(price, 6), round(worth, 4), holding.average_cost, round(unrealized, 4))
    terms = contract_fields(contract, primary_exchange(contract), no_option=(0.0, "0"))
    return [7, 8, *terms, holding.quantity, *figures, round(holding.realized_usd, 4), account]


def position(holding: Holding, account: str) -> list[Value]:
    """position (61)."""
    terms = contract_fields(holding.contract, primary_exchange(holding.contract))
    return [61, 3, account, *terms, holding.quantity, holding.average_cost]


def position_multi(req_id: int, holding: Holding, account: str) -> list[Value]:
    """positionMulti (71); there are no models."""
    terms = contract_fields(holding.contract, primary_exchange(holding.contract))
    return [71, 1, req_id, account, *terms, holding.quantity, holding.average_cost, ""]


def profit(req_id: int, *amounts: float | None) -> list[Value]:
    """pnl (94): daily, unrealized and realized USD, None where it is not known."""
    return [94, req_id, *(_amount(usd) for usd in amounts)]


def profit_single(req_id: int, quantity: int, *amounts: float | None) -> list[Value]:
    """pnlSingle (95): the holding's size, its daily, unrealized and realized USD, and what it is worth."""
    return [95, req_id, quantity, *(_amount(usd) for usd in amounts)]


def _amount(usd: float | None) -> Value:
    return UNSET_DOUBLE if usd is None else round(usd, 4)
