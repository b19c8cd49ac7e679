"""The state file: account, orders, executions, simulated time and the market's state, as an SQLite database.

What has changed is on the disk before an execution is announced, so a kill of the process loses market time
at most. What a change costs does not grow with the history: the row of an order or of a corrected execution
is replaced, executions and settlement events are appended.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.gateway.errors import GatewayError
from broker.gateway.exchange.account import Account, Execution, Holding
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.exchange.order import Order
from broker.gateway.exchange.settlement import Event, Instruction
from options import ConId

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = 4
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE holdings (con_id INTEGER UNIQUE, value TEXT NOT NULL);
CREATE TABLE orders (perm_id INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE executions (number INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (number INTEGER PRIMARY KEY, value TEXT NOT NULL);
"""
# In the order in which they were first held: that is the order in which clients hear of them.
KEEP_HOLDING = "INSERT INTO holdings VALUES (?, ?) ON CONFLICT (con_id) DO UPDATE SET value = excluded.value"
ROWS = ("holdings", "orders", "executions", "events")


Record = Holding | Order | Execution | Event


class StateFile:
    """Writes what has changed since the last write; raises GatewayError when the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts: dict[str, str] = {}
        self._holdings: dict[ConId, Holding] = {}
        self._written = {"executions": 0, "events": 0}
        self._living: dict[int, Order] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("BEGIN IMMEDIATE")
            if not self._database.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in TABLES.strip().splitlines():
                    self._database.execute(statement)
            self._database.execute("COMMIT")
            for table in self._written:
                (count,) = self._database.execute(f"SELECT count(*) FROM {table}").fetchone()
                self._written[table] = count
        except (OSError, sqlite3.Error) as error:
            raise self._unwritable(error) from None

    def write(self, exchange: Exchange, now: datetime, orders: Sequence[Order]) -> None:
        """Brings the file up to `now`, with these orders and whatever else is new."""
        database = self._database
        appended: dict[str, Sequence[Record]] = {
            "executions": exchange.executions,
            "events": exchange.settlement.events,
        }
        try:
            database.execute("BEGIN")
            for name, value in _facts(exchange, now).items():
                text = json.dumps(value)
                if self._facts.get(name) != text:
                    database.execute("REPLACE INTO facts VALUES (?, ?)", (name, text))
                    self._facts[name] = text
            for con_id, holding in exchange.account.holdings.items():
                if self._holdings.get(con_id) is not holding:
                    database.execute(KEEP_HOLDING, (con_id, _text(holding)))
                    self._holdings[con_id] = holding
            self._forget_lost(exchange, orders)
            for order in orders:
                database.execute("REPLACE INTO orders VALUES (?, ?)", (order.perm_id, _text(order)))
            for table, records in appended.items():
                for number in range(self._written[table], len(records)):
                    database.execute(f"INSERT INTO {table} VALUES (?, ?)", (number, _text(records[number])))
                self._written[table] = len(records)
            for number in sorted(exchange.fills.corrected):
                row = (number, _text(exchange.executions[number]))
                database.execute("REPLACE INTO executions VALUES (?, ?)", row)
            database.execute("COMMIT")
            exchange.fills.corrected.clear()
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def _forget_lost(self, exchange: Exchange, orders: Sequence[Order]) -> None:
        """Takes out the orders that the exchange has lost as if they had never arrived."""
        known = self._living
        if known is None:
            known = {order.perm_id: order for order in exchange.orders.values()}
        for order in known.values():
            if exchange.orders.get((order.client_id, order.order_id)) is not order:
                self._database.execute("DELETE FROM orders WHERE perm_id = ?", (order.perm_id,))
        still = (order for order in (*known.values(), *orders) if order.lives)
        self._living = {order.perm_id: order for order in still}

    def close(self) -> None:
        self._database.close()

    def _unwritable(self, error: Exception) -> GatewayError:
        return GatewayError(
            f"state file {self._path} cannot be written ({error}): free the disk, stop the other gateway that"
            " uses it, or name another"
        )


def read_state(path: Path, market: str) -> dict[str, Any] | None:
    """All that the file holds, as JSON; None when there is no file; raises GatewayError when it is not one of
    this market."""
    if not path.exists():
        return None
    try:
        database = sqlite3.connect(path, timeout=0)
        found = dict(database.execute("SELECT name, value FROM facts"))
        document: dict[str, Any] = {name: json.loads(value) for name, value in found.items()}
        for table in ROWS:
            document[table] = [
                json.loads(row[-1]) for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid")
            ]
        database.close()
    except (OSError, sqlite3.Error, json.JSONDecodeError) as error:
        raise GatewayError(
            f"state file {path} cannot be read ({error}): it may be of an older version or in use; stop its"
            " gateway, or move it away to start anew"
        ) from None
    if document.get("format") != FORMAT:
        raise GatewayError(f"state file {path} has an unknown format: move it away to start anew")
    if document.get("market") != market:
        raise GatewayError(
            f"state file {path} belongs to market {document.get('market')}, not {market}: name another"
        )
    return document


def restored_account(document: dict[str, Any]) -> Account:
    """The account of a document."""
    account = Account(**document["account"])
    for holding in document["holdings"]:
        restored = _adapters()[Holding].validate_python(holding)
        account.holdings[restored.contract.con_id] = restored
    return account


def restore_books(document: dict[str, Any], exchange: Exchange) -> None:
    """Gives the exchange its orders, executions, settlement and counters back."""
    exchange.next_perm_id, exchange.fills.next_fill = document["next_perm_id"], document["next_fill"]
    order, execution = _adapters()[Order], _adapters()[Execution]
    exchange.restore(
        [order.validate_python(saved) for saved in document["orders"]],
        [execution.validate_python(saved) for saved in document["executions"]],
    )
    exchange.floor.displayed.load(document["displayed"])
    settlement = exchange.settlement
    settlement.events += [_adapters()[Event].validate_python(saved) for saved in document["events"]]
    settlement.begin(datetime.fromisoformat(document["dealt_until"]))
    for con_id, saved in document["instructions"].items():
        settlement.instructions[ConId(int(con_id))] = Instruction(**saved)


def _facts(exchange: Exchange, now: datetime) -> dict[str, Any]:
    account, settlement = exchange.account, exchange.settlement
    return {
        "format": FORMAT,
        "market": exchange.market.name,
        "time": now.isoformat(),
        "market_state": exchange.market.save(),
        "account": {
            "account_id": account.account_id,
            "deposit_usd": account.deposit_usd,
            "cash_usd": account.cash_usd,
            "realized_usd": account.realized_usd,
            "dividends_usd": account.dividends_usd,
        },
        "next_perm_id": exchange.next_perm_id,
        "next_fill": exchange.fills.next_fill,
        "displayed": exchange.floor.displayed.save(),
        "dealt_until": settlement.dealt_until.isoformat(),
        "instructions": {
            con_id: {"quantity": wish.quantity, "lapse": wish.lapse}
            for con_id, wish in settlement.instructions.items()
        },
    }


@cache
def _adapters() -> "dict[type, TypeAdapter[Any]]":
    """What turns records into JSON and back."""
    from pydantic import TypeAdapter  # an eighth of a second that a gateway without a state file saves

    return {kind: TypeAdapter(kind) for kind in (Holding, Order, Execution, Event)}


def _text(record: Record) -> str:
    return json.dumps(_adapters()[type(record)].dump_python(record, mode="json"))
