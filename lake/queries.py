"""SQL over the tables of the lake, by polars: reading queries only, errors in one line."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import polars as pl

from lake.schemas import did_you_mean, no_such_table
from options import LakeError

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_READING = re.compile(r"\s*[(\s]*(select|with|from|values)\b", re.IGNORECASE)
_FILES = re.compile(r"\b(read_\w+)\"?\s*\(", re.IGNORECASE)  # polars' functions that read files as tables
_OF_THE_QUERY = ("regex error", "appropriate format to parse")
"""Signs of a ComputeError that the query is to blame for, not a file."""
_NO_TABLE = re.compile(r"relation '(.+?)' was not found")
_NO_COLUMN = re.compile(r'unable to find column "(.+?)"; valid columns: \[(.*?)\]')
_LONGEST = 200


def answer(query: str, tables: Iterable[str], frame: Callable[[str], pl.LazyFrame]) -> pl.LazyFrame:
    """The query's result over `tables`; `frame` gives one of them, and is asked for those it names.

    Raises LakeError in one line for what is no reading query, unknown tables and columns, and wrong SQL.
    """
    known = list(tables)
    plain = _COMMENTS.sub(" ", query)
    if not _READING.match(plain):
        raise LakeError(
            f"the lake answers reading queries (SELECT ..., WITH ...), not {' '.join(plain.split())[:40]!r}; "
            "only the daemon writes to it"
        )
    if found := _FILES.search(plain):
        raise LakeError(
            f"the lake answers from the tables of the lake only, not {found[1]}: name one of them"
        )
    words = set(re.findall(r"\w+", plain))
    with asked(known), pl.SQLContext({name: frame(name) for name in known if name in words}) as context:
        result: pl.LazyFrame = context.execute(query, eager=False)
        result.collect_schema()
        return result


@contextmanager
def asked(tables: Iterable[str] = ()) -> Iterator[None]:
    """Turn what polars says of a query, not of files that it cannot read, into a LakeError of one line."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        text = str(error)
        if isinstance(error, pl.exceptions.ComputeError) and not any(sign in text for sign in _OF_THE_QUERY):
            raise
        if found := _NO_TABLE.search(text):
            raise no_such_table(found[1], tables) from error
        if found := _NO_COLUMN.search(text):
            columns = re.findall(r'"(.*?)"', found[2])
            raise LakeError(f"the query: {_no_column(found[1], columns)}") from error
        first = (text.splitlines() or [type(error).__name__])[0]
        raise LakeError(f"the query: {first[:_LONGEST].rstrip(': ')}; correct it") from error


def _no_column(name: str, columns: list[str]) -> str:
    listed = ", ".join(columns)
    shown = listed if len(listed) <= _LONGEST else f"{listed[:_LONGEST]} …"
    return f"no column {name!r}; there are {shown}{did_you_mean(name, columns)}"
