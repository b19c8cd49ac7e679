"""The control port: JSON lines by which tests and the daemon look in, follow the clock and cause faults."""

import asyncio
import json
import logging
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from broker.gateway.clock import Follower
from broker.gateway.desks.entitlements import EVERYTHING
from broker.gateway.errors import GatewayError
from broker.gateway.gateway import Gateway
from broker.gateway.markets.script import ScriptMarket
from broker.gateway.recording.tape import Mark
from options import ConId

log = logging.getLogger("gateway")

Reply = dict[str, Any]

LOOKUPS = ("status", "orders", "executions", "holdings", "account", "settlements", "faults")
EXAMPLE = 'write one like {"cmd": "status"}, each on a line of its own'
FAILURES = (GatewayError, KeyError, TypeError, ValueError, AttributeError)


def _read(line: bytes) -> dict[str, Any]:
    """A line as a command; raises GatewayError."""
    try:
        command = json.loads(line)
    except ValueError as error:
        raise GatewayError(f"not JSON ({error}): {EXAMPLE}") from None
    if not isinstance(command, dict):
        raise GatewayError(f"no command: {EXAMPLE}")
    return command


def _number(command: dict[str, Any], name: str) -> float:
    """A finite parameter of 0 or more; raises GatewayError."""
    value = command[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise GatewayError(f"{name} must be a number from 0, not {json.dumps(value)}")
    return float(value)


class ControlPort:
    """`home` is only passed on by `status`."""

    def __init__(self, gateway: Gateway, home: str | None) -> None:
        self.gateway = gateway
        self.home = home
        self._commands: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "status": self._status,
            "orders": lambda _: {"orders": self._orders()},
            "executions": lambda _: {"executions": self._executions()},
            "holdings": lambda _: {"holdings": self._holdings()},
            "account": self._account,
            "contract": self._contract,
            "quote": self._quote,
            "entitlement": self._entitlement,
            "order_by_hand": self._order_by_hand,
            "dividend": self._dividend,
            "settlements": lambda _: {"settlements": self._settlements()},
            "fault": self._fault,
            "faults": self._faults,
            "heal": lambda _: {"healed": self.gateway.faults.heal()},
            "pause": self._pause,
            "speed": self._speed,
            "shutdown": self._shutdown,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; a broken line gets an error reply, never an end."""
        follower: Follower | None = None

        def tell(reply: Reply) -> None:
            writer.write((json.dumps(reply) + "\n").encode())

        try:
            while line := await reader.readline():
                try:
                    command = _read(line)
                    if follower:
                        wake = command.get("wake")
                        until = datetime.fromisoformat(wake) if wake else None
                        self.gateway.clock.done(follower, int(command["sent"]), until)
                    elif command.get("cmd") == "follow":
                        follower = Follower(int(command["client_id"]), tell)
                        self.gateway.clock.follow(follower)
                    else:
                        tell({"ok": True, **await self._answer(command)})
                except FAILURES as error:
                    reason = f"{error} is missing" if isinstance(error, KeyError) else error
                    tell({"ok": False, "error": f"{line.decode(errors='replace').strip()}: {reason}"})
                await writer.drain()
        except (ConnectionError, asyncio.LimitOverrunError) as error:
            log.warning("a control connection broke: %s", error)
        finally:
            if follower:
                self.gateway.clock.unfollow(follower)
            writer.close()

    async def _answer(self, command: dict[str, Any]) -> Reply:
        name = command.get("cmd")
        if self.gateway.tape and name not in LOOKUPS:
            self.gateway.tape.note(Mark.COMMAND, 0, json.dumps(command).encode())
        if name == "step":
            await self.gateway.clock.step(_number(command, "seconds"))
            return self._status(command)
        return self.obey(command)

    def obey(self, command: dict[str, Any]) -> Reply:
        """Does what takes no simulated time; raises one of `FAILURES`."""
        name = command.get("cmd")
        if name not in self._commands:
            raise GatewayError(f"no command {name!r}: there are {', '.join(self._commands)}, step, follow")
        return self._commands[name](command)

    # -- looking in -----------------------------------------------------------------------------------

    def _status(self, _: dict[str, Any]) -> Reply:
        gateway = self.gateway
        return {
            "time": gateway.clock.now.isoformat(),
            "market": gateway.market.name,
            "speed": gateway.clock.speed,
            "paused": gateway.clock.paused,
            "home": self.home,
            "account": gateway.exchange.account.account_id,
            "clients": sorted(gateway.sessions),
            "lines": {str(client): len(session.lines) for client, session in gateway.sessions.items()},
            "most_lines": {str(client): session.most_lines for client, session in gateway.sessions.items()},
            "ended": gateway.market.ended(gateway.clock.now),
        }

    def _orders(self) -> list[Reply]:
        return [
            {
                "order_ref": order.request.order_ref,
                "order_id": order.order_id,
                "perm_id": order.perm_id,
                "client_id": order.client_id,
                "status": order.status,
                "action": order.request.action,
                "quantity": order.request.quantity,
                "filled": order.filled,
                "limit_price": order.request.limit_price,
                "average_price": order.fill_price,
                "legs": [
                    {"con_id": leg.con_id, "ratio": leg.ratio, "action": leg.action}
                    for leg in order.request.legs
                ]
                or [{"con_id": order.legs[0][0].con_id, "ratio": 1, "action": "BUY"}],
            }
            for order in self.gateway.exchange.orders.values()
        ]

    def _executions(self) -> list[Reply]:
        return [
            {
                "exec_id": execution.exec_id,
                "order_ref": execution.order_ref,
                "perm_id": execution.perm_id,
                "con_id": execution.contract.con_id if execution.contract else None,
                "is_combo": execution.contract is None,
                "quantity": execution.quantity,
                "price": execution.price,
                "commission_usd": execution.commission_usd,
                "realized_usd": execution.realized_usd,
                "time": execution.time.isoformat(),
            }
            for execution in self.gateway.exchange.executions
        ]

    def _settlements(self) -> list[Reply]:
        return [
            {
                "time": event.time.isoformat(),
                "kind": event.kind,
                "con_id": event.contract.con_id,
                "quantity": event.quantity,
                "share_con_id": event.share,
                "shares": event.shares,
                "cash_usd": event.cash_usd,
                "realized_usd": event.realized_usd,
            }
            for event in self.gateway.exchange.settlement.events
        ]

    def _holdings(self) -> list[Reply]:
        return [
            {
                "con_id": con_id,
                "symbol": holding.contract.symbol,
                "label": holding.contract.label,
                "quantity": holding.quantity,
                "average_cost": holding.average_cost,
            }
            for con_id, holding in self.gateway.exchange.account.holdings.items()
            if holding.quantity
        ]

    def _account(self, _: dict[str, Any]) -> Reply:
        account = self.gateway.exchange.account
        values = self.gateway.exchange.values(self.gateway.clock.now)
        return {
            "deposit_usd": account.deposit_usd,
            "cash_usd": account.cash_usd,
            "realized_usd": account.realized_usd,
            "dividends_usd": account.dividends_usd,
            "net_liquidation_usd": values.net_liquidation,
            "initial_margin_usd": values.initial_margin,
            "maintenance_margin_usd": values.maintenance_margin,
        }

    # -- script market --------------------------------------------------------------------------------

    def _script(self) -> ScriptMarket:
        market = self.gateway.market
        if not isinstance(market, ScriptMarket):
            raise GatewayError(f"the {market.name} market makes its own prices: start with --market script")
        return market

    def _contract(self, command: dict[str, Any]) -> Reply:
        return {"con_id": self._script().add(command).con_id}

    def _dividend(self, command: dict[str, Any]) -> Reply:
        self._script().announce(command)
        return {}

    def _quote(self, command: dict[str, Any]) -> Reply:
        con_id = self._script().set(command, self.gateway.clock.now)
        self.gateway.publish([con_id])
        return {"con_id": con_id}

    # -- orders by hand -------------------------------------------------------------------------------

    def _order_by_hand(self, command: dict[str, Any]) -> Reply:
        """BUYs or SELLs `quantity` of a contract, at `limit` or (without it) at the market."""
        action, limit = str(command["action"]), command.get("limit")
        if action not in ("BUY", "SELL"):
            raise GatewayError(f"action {action!r} is neither BUY nor SELL")
        con_id, quantity = ConId(int(command["con_id"])), int(command["quantity"])
        price = None if limit is None else float(limit)
        return {"perm_id": self.gateway.place_by_hand(con_id, action, quantity, price).perm_id}

    # -- subscriptions --------------------------------------------------------------------------------

    def _entitlement(self, command: dict[str, Any]) -> Reply:
        """Gives or takes live data of `symbol` (or of all), refused with `code` while they are missing."""
        symbol, live = str(command.get("symbol", EVERYTHING)), bool(command["live"])
        self.gateway.data.entitlements.set(symbol, live, int(command.get("code", 354)))
        return {}

    # -- faults ---------------------------------------------------------------------------------------

    def _fault(self, command: dict[str, Any]) -> Reply:
        given = {name: value for name, value in command.items() if name not in ("cmd", "name")}
        self.gateway.faults.inflict(str(command.get("name", "")), given)
        return {}

    def _faults(self, _: dict[str, Any]) -> Reply:
        from broker.gateway.faults.catalogue import described

        return {"catalogue": described(), "active": self.gateway.faults.describe()}

    # -- the program -----------------------------------------------------------------------------------

    def _pause(self, command: dict[str, Any]) -> Reply:
        self.gateway.clock.pause(bool(command.get("on", True)))
        return {}

    def _speed(self, command: dict[str, Any]) -> Reply:
        self.gateway.clock.set_speed(_number(command, "speed"))
        return {}

    def _shutdown(self, _: dict[str, Any]) -> Reply:
        self.gateway.stop.set()
        return {}
