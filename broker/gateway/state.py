"""The state file: account, orders, executions, simulated time and the market's state, as one JSON document.

It is replaced atomically and reaches the disk before an execution is announced, so a kill of the process
loses market time at most.
"""

import json
import os
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from broker.gateway.account import Account, Execution, Holding
from broker.gateway.errors import GatewayError
from broker.gateway.exchange import Exchange
from broker.gateway.listings import Query
from broker.gateway.market import Market
from broker.gateway.order import Legging, Order, Status
from broker.gateway.order_request import ComboLeg, OrderRequest
from options import ConId, Contract, Right, SecType, UsdPerContract

FORMAT = 2
MOMENTS = ("placed", "starts", "ends", "ready_since", "wakes", "done")


def write_state(path: Path, exchange: Exchange, now: datetime) -> None:
    """Replaces the file; raises GatewayError when it cannot be written."""
    account = exchange.account
    document = {
        "format": FORMAT,
        "market": exchange.market.name,
        "time": now.isoformat(),
        "market_state": exchange.market.save(),
        "account": {
            "account_id": account.account_id,
            "deposit_usd": account.deposit_usd,
            "cash_usd": account.cash_usd,
            "realized_usd": account.realized_usd,
            "holdings": [asdict(holding) for holding in account.holdings.values()],
        },
        "orders": [asdict(order) for order in exchange.orders.values()],
        "executions": [asdict(execution) for execution in exchange.executions],
        "next_perm_id": exchange.next_perm_id,
        "next_fill": exchange.fills.next_fill,
    }
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, default=_plain)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise GatewayError(
            f"state file {path} cannot be written ({error}): free the disk or name another"
        ) from None


def read_state(path: Path, market: Market) -> dict[str, Any] | None:
    """The document, None when there is no file; raises GatewayError when it is not one for this market."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise GatewayError(
            f"state file {path} cannot be read ({error}): move it away to start anew"
        ) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise GatewayError(f"state file {path} has an unknown format: move it away to start anew")
    if document["market"] != market.name:
        raise GatewayError(
            f"state file {path} belongs to market {document['market']}, not {market.name}: name another"
        )
    return document


def restored_account(document: dict[str, Any]) -> Account:
    """The account of a document."""
    saved = document["account"]
    account = Account(
        saved["account_id"], saved["deposit_usd"], saved["cash_usd"], realized_usd=saved["realized_usd"]
    )
    for holding in saved["holdings"]:
        contract = _contract(holding["contract"])
        account.holdings[contract.con_id] = Holding(
            contract, holding["quantity"], UsdPerContract(holding["average_cost"]), holding["realized_usd"]
        )
    return account


def restore_books(document: dict[str, Any], exchange: Exchange) -> None:
    """Gives the exchange its orders, executions and counters back."""
    exchange.next_perm_id, exchange.fills.next_fill = document["next_perm_id"], document["next_fill"]
    orders = [_order(saved) for saved in document["orders"]]
    exchange.restore(orders, [_execution(saved) for saved in document["executions"]])


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} has no place in the state file")


def _contract(saved: dict[str, Any]) -> Contract:
    return Contract(
        **{
            **saved,
            "con_id": ConId(saved["con_id"]),
            "sec_type": SecType(saved["sec_type"]),
            "expiry": date.fromisoformat(saved["expiry"]) if saved["expiry"] else None,
            "right": Right(saved["right"]) if saved["right"] else None,
        }
    )


def _execution(saved: dict[str, Any]) -> Execution:
    contract = _contract(saved["contract"]) if saved["contract"] else None
    return Execution(**{**saved, "contract": contract, "time": datetime.fromisoformat(saved["time"])})


def _order(saved: dict[str, Any]) -> Order:
    request = saved["request"]
    return Order(
        **{
            **saved,
            "request": OrderRequest(
                **{
                    **request,
                    "contract": Query(**request["contract"]),
                    "legs": tuple(
                        ComboLeg(**{**leg, "terms": tuple(leg["terms"])}) for leg in request["legs"]
                    ),
                    **{name: _tuples(request[name]) for name in ("routing", "algo", "conditions")},
                    **{name: tuple(request[name]) for name in ("leg_prices", "delta_contract")},
                }
            ),
            "legs": tuple((_contract(contract), amount) for contract, amount in saved["legs"]),
            "status": Status(saved["status"]),
            "legging": _legging(saved["legging"]) if saved["legging"] else None,
            **{name: _moment(saved[name]) for name in MOMENTS},
        }
    )


def _legging(saved: dict[str, Any]) -> Legging:
    return Legging(
        saved["lots"], tuple(saved["limits"]), tuple(saved["prices"]), datetime.fromisoformat(saved["due"])
    )


def _tuples(rows: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
