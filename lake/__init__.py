"""The lake: what happened, exactly once, readable as of any moment.

`Lake` is the one writer of a home: a commit is durable in a journal (SQLite) when it returns, and a flush
brings the journal into append-only Delta tables, exactly once, whatever dies in between. `LakeReader` reads
any table, now or as of a time or a `seq`, beside a running writer. Everyone hands in frames of declared
tables (`TABLES`, `facts_table`); nobody else knows Delta. All failures are LakeErrors that say what, where
and what to do.
"""

from lake.location import Location
from lake.reader import LakeReader, TableInfo
from lake.schemas import Column, TableSchema, facts_table
from lake.tables import LEDGER, TABLES
from lake.writer import FlushReport, Lake

__all__ = [
    "LEDGER",
    "TABLES",
    "Column",
    "FlushReport",
    "Lake",
    "LakeReader",
    "Location",
    "TableInfo",
    "TableSchema",
    "facts_table",
]
