"""The commands that look after the lake: is it whole, keep a copy, bring things in and out."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from lake.verify import verify as findings_of

EXIT_FINDINGS = 1


def verify(arguments: argparse.Namespace) -> int:
    """`optiond lake verify`: 0 when all is well, 1 with findings."""
    found = findings_of(arguments.home, arguments.deep, _telling("looking at"))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
        return EXIT_FINDINGS if found else 0
    for finding in found:
        print(f"{finding.severity.value}  {finding.table}: {finding.what}; {finding.advice}")
    if found:
        return EXIT_FINDINGS
    print(
        "the lake is whole: "
        + ("every value was read" if arguments.deep else "add --deep to read every value")
    )
    return 0


def _telling(doing: str) -> Callable[[str], None]:
    """Says what is done now in one line of a terminal; nothing where there is none."""
    if not sys.stderr.isatty():
        return lambda _: None

    def tell(what: str) -> None:
        print(f"\r\x1b[K{doing} {what} ", end="\r", file=sys.stderr, flush=True)

    return tell
