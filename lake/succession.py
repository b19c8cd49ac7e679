"""Taking over a lake in a bucket from a home that will never write to it again.

Its journal is gone, and with it what was not flushed. What a flush had under way when that home ended is in
some tables and not in others: it stays, and the ledger speaks for it, so that no seq is given out twice.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl
from deltalake import DeltaTable

from lake import delta
from lake.journal_file import Flushed
from lake.store import Store
from lake.tables import LEDGER

_TRIES = 5


def fence_out(store: Store) -> None:
    """Keep the home that wrote before this one from appending what it may have under way."""
    for name in store.names():
        delta.fence(store, name, _TRIES)


def unfinished(store: Store, vouched: Flushed) -> tuple[Flushed, list[datetime]] | None:
    """How far tables are ahead of the ledger, as if that flush had ended, with its commits' times; None: not.

    A time is that of the rows that arrived; for a commit of which none did, that of the one before.
    """
    ahead: dict[str, DeltaTable] = {}
    for name in store.names():
        table = None if name == LEDGER.name else delta.open_table(store, name)
        if table is not None and _flushed(table) > vouched.seq:
            ahead[name] = table
    if not ahead:
        return None
    seq = max(map(_flushed, ahead.values()))
    arrived = {
        name: delta.scan(table).filter(pl.col("seq") > vouched.seq).select("seq", "time").collect()
        for name, table in ahead.items()
    }
    known = dict(pl.concat(arrived.values()).unique("seq").iter_rows())
    times = _times(range(vouched.seq + 1, seq + 1), known, vouched.time or min(known.values()))
    versions = {name: version for name, version in vouched.versions.items() if name != LEDGER.name}
    versions |= {name: table.version() for name, table in ahead.items()}
    rows = {name: vouched.rows.get(name, 0) + new.height for name, new in arrived.items()}
    return Flushed(seq, times[-1], None, versions, {**vouched.rows, **rows}), times


def _flushed(table: DeltaTable) -> int:
    return table.transaction_version(delta.APP) or 0


def _times(seqs: Iterable[int], known: Mapping[int, datetime], before: datetime) -> list[datetime]:
    times = []
    for seq in seqs:
        before = known.get(seq, before)
        times.append(before)
    return times
