"""The ledger: what each flush brought into the lake, one row per flush, and how it is read."""

import json
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from lake import delta
from lake.journal_file import Flushed
from lake.store import Store
from lake.tables import LEDGER

ID_NOTE = "ledger_id"
"""The journal's note of the ledger that it belongs to."""


def row(times: list[datetime], flushed: Flushed) -> pl.DataFrame:
    """A flush as a row: `times` of all its commits, the last of which is `flushed.seq`; versions and rows of
    every table but the ledger after it."""
    about = {
        "seq": flushed.seq,
        "time": times[-1],
        "first_seq": flushed.seq - len(times) + 1,
        "first_time": min(times),
        "times": times,
        "versions": json.dumps(dict(flushed.versions), sort_keys=True),
        "rows": json.dumps(dict(flushed.rows), sort_keys=True),
    }
    return pl.DataFrame([about], schema=LEDGER.stored)


def last(store: Store) -> Flushed:
    """How far the lake is by its own account."""
    table = delta.open_table(store, LEDGER.name)
    if table is None:
        return Flushed(0, None)
    found = delta.scan(table).sort("seq").last().collect().to_dicts()
    if not found:
        return Flushed(0, None)
    versions = {**json.loads(found[0]["versions"]), LEDGER.name: table.version()}
    rows = json.loads(found[0].get("rows") or "{}")
    return Flushed(found[0]["seq"], found[0]["time"], None, versions, rows)


def recorded_versions(store: Store, seqs: Sequence[int]) -> dict[str, list[int]]:
    """The versions of every table that the ledger has for these seqs."""
    table = delta.open_table(store, LEDGER.name)
    assert table is not None
    wanted = [pl.lit(seq).is_between("first_seq", "seq") for seq in seqs]
    rows = delta.scan(table).filter(pl.any_horizontal(wanted)).select("versions").collect()
    recorded: dict[str, list[int]] = {}
    for (text,) in rows.iter_rows():
        for name, version in json.loads(text).items():
            recorded.setdefault(name, []).append(version)
    return recorded
