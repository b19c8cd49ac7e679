"""The tables of docs/ that code knows best: `python -m ops.docs` writes them anew.

They stand between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is written by hand.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lake import LEDGER, TableSchema
from rules import CATALOGUE
from sync.tables import LAKE_TABLES

FOLDER = Path(__file__).parents[1] / "docs"

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(page: str) -> str:
    """The page with every generated block as it should be; raises KeyError for an unknown block."""
    return _BLOCK.sub(lambda block: f"{block[1]}{GENERATED[block[2]]()}\n{block[3]}", page)


def main() -> int:
    """Write every page whose tables have changed."""
    for path in sorted(FOLDER.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"wrote {path.name}\n")
    return 0


def _facts() -> str:
    rows = ((f"`{fact.name}`", str(fact.unit), fact.scope, fact.meaning, fact.computed) for fact in CATALOGUE)
    return _table(("fact", "unit", "scope", "meaning", "computed"), rows)


def _tables() -> str:
    schemas = sorted((*LAKE_TABLES.values(), LEDGER), key=lambda schema: schema.name)
    return "\n\n".join(map(_schema, schemas))


def _schema(schema: TableSchema) -> str:
    key = ", ".join(f"`{name}`" for name in schema.key)
    rows = (
        (f"`{column.name}`", str(column.dtype), column.unit, column.meaning, column.null or "never null")
        for column in schema.columns
    )
    columns = _table(("column", "type", "unit", "meaning", "null means"), rows)
    return f"### {schema.name}\n\nOne row per {schema.meaning}. Key: {key}.\n\n{columns}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


GENERATED: Mapping[str, Callable[[], str]] = {"facts": _facts, "tables": _tables}

if __name__ == "__main__":
    sys.exit(main())
