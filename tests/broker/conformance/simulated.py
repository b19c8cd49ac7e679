"""Interactive Brokers' stand: the simulated gateway with a scripted market, whose time stands still."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import Broker
from broker.simulated_clock import FollowedClock
from options import ConId, Contract, Right, SecType
from tests.broker.bench import EXPIRY, SystemClock
from tests.broker.conformance.market import Market, TrueExecution, TrueOrder

_GREEKS = {"iv": 0.2, "delta": -0.3, "gamma": 0.01, "theta": -0.05, "vega": 0.1}
_CORRECTED_AFTER_S = 5.0


class Hasty(random.Random):
    """Jitter that hardly waits before the next attempt to connect."""

    def uniform(self, a: float, b: float) -> float:
        return 0.02


class SimulatedMarket:
    """The `Market` behind one gateway's control port."""

    def __init__(self, control: FollowedClock, strikes: Iterator[int]) -> None:
        self.control = control
        self._strikes = strikes

    async def list_put(self, bid: float | None, ask: float | None) -> Contract:
        strike = float(next(self._strikes))
        terms = {"symbol": "IWM", "expiry": EXPIRY.isoformat(), "strike": strike, "right": "P"}
        con_id = ConId((await self.control.request("contract", **terms))["con_id"])
        put = Contract(con_id, "IWM", SecType.OPTION, EXPIRY, strike, Right.PUT, 100, trading_class="IWM")
        await self.quote(put, bid, ask)
        return put

    async def quote(self, put: Contract, bid: float | None, ask: float | None, greeks: bool = True) -> None:
        values = {**_GREEKS, "underlying_price": 245.0} if greeks else {}
        await self.control.request("quote", con_id=put.con_id, bid=bid, ask=ask, **values)

    async def orders(self) -> list[TrueOrder]:
        return [
            TrueOrder(
                order_ref=row["order_ref"],
                lives=row["status"] in ("PendingSubmit", "PreSubmitted", "Submitted"),
                quantity=row["quantity"],
                filled=row["filled"],
                limit_usd=_signed(row["limit_price"], row["action"]),
            )
            for row in (await self.control.request("orders"))["orders"]
        ]

    async def executions(self) -> list[TrueExecution]:
        names = ("exec_id", "order_ref", "con_id", "quantity", "price", "commission_usd")
        rows = (await self.control.request("executions"))["executions"]
        return [TrueExecution(**{name: row[name] for name in names}) for row in rows]

    async def holdings(self) -> dict[ConId, int]:
        rows = (await self.control.request("holdings"))["holdings"]
        return {ConId(row["con_id"]): row["quantity"] for row in rows}

    async def lines(self) -> int:
        lines: dict[str, int] = (await self.control.request("status"))["lines"]
        return sum(lines.values())

    async def connections(self) -> int:
        return len((await self.control.request("status"))["clients"])

    async def drop(self) -> None:
        await self._fault("drop")

    async def silence(self) -> None:
        await self._fault("silent")

    async def lose_servers(self) -> None:
        await self._fault("connectivity", code=1100)

    async def regain_servers(self, lines_kept: bool) -> None:
        await self._fault("connectivity", code=1102 if lines_kept else 1101)

    async def refuse_next_order(self, reason: str) -> None:
        await self._fault("reject", reason=reason)

    async def cry_wolf(self, order_ref: str) -> None:
        await self._fault("false_cancel", order_ref=order_ref)

    async def hold_cancels(self) -> None:
        await self._fault("slow_cancel")

    async def tell_twice(self) -> None:
        await self._fault("duplicate_execution")
        await self._fault("repeated_status")

    async def correct_next_execution(self, by_usd: float) -> None:
        await self._fault("correction", delay_s=_CORRECTED_AFTER_S, price_by_usd=by_usd)

    async def correct_now(self) -> None:
        await self.control.request("step", seconds=_CORRECTED_AFTER_S)

    async def delay_data(self) -> None:
        await self._fault("data_type", type="delayed")

    async def refuse_lines(self) -> None:
        await self._fault("lines", count=0)

    async def trade_elsewhere(self, put: Contract, quantity: int, limit_usd: float | None) -> None:
        action = "BUY" if quantity > 0 else "SELL"
        size = {"quantity": abs(quantity), "limit": limit_usd}
        await self.control.request("order_by_hand", con_id=put.con_id, action=action, **size)

    async def heal(self) -> None:
        await self.control.request("heal")

    async def _fault(self, name: str, **parameters: object) -> None:
        await self.control.request("fault", name=name, **parameters)


class SimulatedStand:
    """One gateway for many trials, each with a client id of its own."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._ports = ready["port"], ready["control_port"]
        self._client_ids = count(1)
        self._strikes = count(100)
        self._client_id = 0
        self._market: SimulatedMarket | None = None

    @property
    def market(self) -> Market:
        assert self._market is not None, "the stand is not open"
        return self._market

    def open(self) -> None:
        """For one trial: a control connection belongs to the event loop that opened it."""
        self._market = SimulatedMarket(FollowedClock("127.0.0.1", self._ports[1]), self._strikes)

    async def close(self) -> None:
        assert self._market is not None
        await self._market.heal()
        self._market.control.close()

    def adapter(self, impatient: bool = False) -> Broker:
        self._client_id = next(self._client_ids)
        return self._make(impatient)

    def again(self) -> Broker:
        return self._make(impatient=False)

    def _make(self, impatient: bool) -> Broker:
        quick = {"request_timeout_s": 0.5, "probe_every_s": 0.3, "probe_timeout_s": 0.5}
        return InteractiveBrokers(
            "127.0.0.1",
            self._ports[0],
            self._client_id,
            SystemClock(),
            throttle_per_s=None,
            jitter=Hasty(),
            **(quick if impatient else {}),  # type: ignore[arg-type]
        )


@contextmanager
def simulated_stand() -> Iterator[SimulatedStand]:
    command = (
        sys.executable,
        "-m",
        "broker.gateway",
        "--market",
        "script",
        "--port",
        "0",
        "--control-port",
        "0",
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield SimulatedStand(json.loads(process.stdout.readline()))
        finally:
            process.terminate()


def _signed(limit: float | None, action: str) -> float | None:
    return -limit if limit is not None and action == "SELL" else limit
