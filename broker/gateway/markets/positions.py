"""Holdings from a CSV file: conid, symbol, expiry, right, strike, position, average_cost."""

import csv
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from broker.gateway.errors import GatewayError
from broker.gateway.exchange.account import Holding
from broker.gateway.markets.listings import Listings, option
from options import Right, UsdPerContract

COLUMNS = ("conid", "symbol", "expiry", "right", "strike", "position", "average_cost")


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One line of the file. `average_cost` is USD per contract, commission included."""

    line: int
    con_id: int
    symbol: str
    expiry: date
    right: Right
    strike: float
    quantity: int
    average_cost: float

    @property
    def local_symbol(self) -> str:
        return option(self.symbol, self.expiry, self.strike, self.right).local_symbol


def read_positions(path: Path) -> list[HeldRow]:
    """Every line of the file; raises GatewayError that names file, line and column."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise GatewayError(f"positions file {path} has no column {missing[0]!r}: {_WANTED}")
            rows = [_row(path, reader.line_num, record) for record in reader]
    except FileNotFoundError:
        raise GatewayError(f"positions file {path} does not exist: name an existing CSV file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GatewayError(f"positions file {path} cannot be read ({error}): get it anew") from None
    seen: dict[int, int] = {}
    for row in rows:
        if row.con_id in seen:
            raise GatewayError(
                f"positions file {path}, line {row.line}: conid {row.con_id} is already on line"
                f" {seen[row.con_id]}: keep one line per contract"
            )
        seen[row.con_id] = row.line
    return rows


_WANTED = f"it needs {', '.join(COLUMNS)}"


def _row(path: Path, line: int, record: dict[str, str | None]) -> HeldRow:
    def number(column: str) -> float:
        found = record[column] or ""
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise GatewayError(
                f"positions file {path}, line {line}, column {column}: {found!r} is not a number"
            )
        return value

    def whole(column: str) -> int:
        value = number(column)
        if value != int(value) or value == 0:
            raise GatewayError(
                f"positions file {path}, line {line}, column {column}: {record[column]!r}"
                " should be a whole number other than 0"
            )
        return int(value)

    try:
        expiry = date.fromisoformat(record["expiry"] or "")
    except ValueError:
        raise GatewayError(
            f"positions file {path}, line {line}, column expiry: {record['expiry']!r}"
            " is not a date like 2026-03-20"
        ) from None
    if record["right"] not in ("C", "P"):
        raise GatewayError(
            f"positions file {path}, line {line}, column right: {record['right']!r} should be C or P"
        )
    return HeldRow(
        line=line,
        con_id=whole("conid"),
        symbol=record["symbol"] or "",
        expiry=expiry,
        right=Right(record["right"]),
        strike=number("strike"),
        quantity=whole("position"),
        average_cost=number("average_cost"),
    )


def held(path: Path, rows: list[HeldRow], listings: Listings) -> list[Holding]:
    """The holdings; raises GatewayError when a leg is not among the market's contracts."""
    holdings = []
    for row in rows:
        contract = listings.find(row.symbol, row.expiry, row.strike, row.right)
        if contract is None:
            raise GatewayError(
                f"positions file {path}, line {row.line}: the market has no"
                f" {row.symbol} {row.expiry} {row.strike:g} {row.right}: remove the line or add its quotes"
            )
        holdings.append(Holding(contract, row.quantity, UsdPerContract(row.average_cost)))
    return holdings
