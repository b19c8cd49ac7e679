"""Answers requests about the account: values, holdings, summary, profit."""

from datetime import datetime

from broker.gateway.exchange import Exchange
from broker.gateway.order_messages import contract_fields
from broker.gateway.session import Session
from broker.gateway.values import Values
from broker.gateway.wire import UNSET_DOUBLE, Fields
from options import NEW_YORK, ConId


def value_rows(values: Values) -> list[tuple[str, str, str]]:
    """(key, value, currency) as account updates carry them; money with two decimals."""
    money = {
        "NetLiquidation": values.net_liquidation,
        "TotalCashValue": values.cash,
        "TotalCashBalance": values.cash,
        "CashBalance": values.cash,
        "SettledCash": values.cash,
        "EquityWithLoanValue": values.equity_with_loan,
        "GrossPositionValue": values.gross_position_value,
        "StockMarketValue": values.stock_value,
        "OptionMarketValue": values.option_value,
        "InitMarginReq": values.initial_margin,
        "FullInitMarginReq": values.initial_margin,
        "MaintMarginReq": values.maintenance_margin,
        "FullMaintMarginReq": values.maintenance_margin,
        "AvailableFunds": values.available_funds,
        "FullAvailableFunds": values.available_funds,
        "ExcessLiquidity": values.excess_liquidity,
        "FullExcessLiquidity": values.excess_liquidity,
        "BuyingPower": values.buying_power,
        "UnrealizedPnL": values.unrealized,
        "RealizedPnL": values.realized,
    }
    rows = [("AccountReady", "true", ""), ("AccountType", "INDIVIDUAL", ""), ("Currency", "USD", "USD")]
    rows += [("Cushion", f"{values.cushion:.6f}", ""), ("Leverage-S", f"{values.leverage:.2f}", "")]
    return rows + [(key, f"{amount:.2f}", "USD") for key, amount in money.items()]


class AccountDesk:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @property
    def account_id(self) -> str:
        return self.exchange.account.account_id

    def updates(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountUpdates (6)."""
        fields.skip(1)
        session.wants_account = fields.flag()
        if session.wants_account:
            self.send_update(session, now)
            session.send(54, 1, self.account_id)

    def send_update(self, session: Session, now: datetime) -> None:
        for key, value, currency in value_rows(self.exchange.values(now)):
            session.send(6, 2, key, value, currency, self.account_id)
        holdings = self.exchange.account.holdings
        marks = self.exchange.market.marks(list(holdings), now)
        for con_id in holdings:
            self._send_portfolio(session, con_id, marks)
        session.send(8, 1, f"{now.astimezone(NEW_YORK):%H:%M}")

    def _send_portfolio(self, session: Session, con_id: ConId, marks: dict[ConId, float]) -> None:
        holding = self.exchange.account.holdings[con_id]
        c = holding.contract
        price = marks.get(con_id, holding.average_cost / c.multiplier)
        value = holding.quantity * price * c.multiplier
        unrealized = value - holding.quantity * holding.average_cost
        session.send(
            *(7, 8, *contract_fields(c, exchange=""), holding.quantity, round(price, 6), round(value, 4)),
            *(holding.average_cost, round(unrealized, 4), round(holding.realized_usd, 4), self.account_id),
        )

    def updates_multi(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountUpdatesMulti (76)."""
        fields.skip(1)
        req_id = fields.integer()
        for key, value, currency in value_rows(self.exchange.values(now)):
            session.send(73, 1, req_id, self.account_id, "", key, value, currency)
        session.send(74, 1, req_id)

    def positions(self, session: Session) -> None:
        """reqPositions (61)."""
        session.wants_positions = True
        for con_id, holding in self.exchange.account.holdings.items():
            if holding.quantity:
                self.send_position(session, con_id)
        session.send(62, 1)

    def send_position(self, session: Session, con_id: ConId) -> None:
        holding = self.exchange.account.holdings[con_id]
        fields = contract_fields(holding.contract, exchange="")
        session.send(61, 3, self.account_id, *fields, holding.quantity, holding.average_cost)

    def positions_multi(self, session: Session, fields: Fields) -> None:
        """reqPositionsMulti (74)."""
        fields.skip(1)
        req_id = fields.integer()
        for holding in self.exchange.account.holdings.values():
            if holding.quantity:
                terms = contract_fields(holding.contract, exchange="")
                owned = (holding.quantity, holding.average_cost, "")
                session.send(71, 1, req_id, self.account_id, *terms, *owned)
        session.send(72, 1, req_id)

    def summary(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountSummary (62): one answer, no later updates."""
        fields.skip(1)
        req_id = fields.integer()
        fields.skip(1)
        tags = set(fields.text().split(","))
        for key, value, currency in value_rows(self.exchange.values(now)):
            if key in tags:
                session.send(63, 1, req_id, self.account_id, key, value, currency)
        session.send(64, 1, req_id)

    def profit(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqPnL (92)."""
        req_id = fields.integer()
        session.profit_requests.add(req_id)
        self.send_profit(session, req_id, now)

    def send_profit(self, session: Session, req_id: int, now: datetime) -> None:
        values = self.exchange.values(now)
        session.send(94, req_id, UNSET_DOUBLE, round(values.unrealized, 4), round(values.realized, 4))
