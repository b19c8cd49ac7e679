"""The lake: what happened, exactly once, readable as of any moment.

`Lake` is the one writer of a home: a commit is durable in a journal (SQLite) when it returns, and a flush
brings the journal into append-only Delta tables, exactly once, whatever dies in between. `LakeReader` reads
any table, now or as of a time or a `seq`, beside a running writer; `open` gives the same to people: pictures,
SQL, the versions of one thing, what changed between two moments. Everyone hands in frames of declared
tables (`TABLES`, `facts_table`); nobody else knows Delta. All failures are LakeErrors that say what, where
and what to do.
"""

from lake.health import LakeHealth, TableHealth
from lake.history import LakeHistory, Moment
from lake.location import Location
from lake.picture import Picture
from lake.reader import LakeReader, TableInfo
from lake.schemas import Column, Gone, TableSchema, facts_table
from lake.tables import LEDGER, TABLES
from lake.upkeep import Step, TableUpkeep, UpkeepReport
from lake.writer import FlushReport, Lake

__all__ = [
    "LEDGER",
    "TABLES",
    "Column",
    "FlushReport",
    "Gone",
    "Lake",
    "LakeHealth",
    "LakeHistory",
    "LakeReader",
    "Location",
    "Moment",
    "Picture",
    "Step",
    "TableHealth",
    "TableInfo",
    "TableSchema",
    "TableUpkeep",
    "UpkeepReport",
    "facts_table",
    "open",
]

open = LakeHistory.open  # noqa: A001  `lake.open(home)` is what one expects
