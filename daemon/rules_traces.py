"""`optiond rules traces`: the last moments when something else became of a rule, near misses included."""

import argparse

from daemon.reading import Columns, new_york, print_json, print_table
from daemon.settings import load_settings
from lake import LakeReader
from lake.rule_moments import traces as read_traces
from rules.state import BOOK


def traces(arguments: argparse.Namespace) -> int:
    each = load_settings(arguments.home).sync.traces_per_rule
    position = BOOK if arguments.position == "book" else arguments.position
    rows = read_traces(LakeReader.open(arguments.home), each, arguments.rule, position, arguments.near)
    if arguments.json:
        return print_json(
            [{**row, "time": row["time"].isoformat(), "seen": row["seen"].isoformat()} for row in rows]
        )
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["seen"]),
        "rule": lambda r: r["rule"],
        "position": lambda r: r["position"] or "book",
        "was": lambda r: r["was"] or "quiet",
        "became": lambda r: r["words"],
    }
    return print_table(rows, columns, "nothing has become of any rule yet, not even nearly")
