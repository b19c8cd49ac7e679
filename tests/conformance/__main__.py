"""`python -m tests.conformance` plays the day with every client and writes docs/conformance.md anew."""

import asyncio
import sys

from tests.conformance.page import PAGE, refreshed
from tests.conformance.run import play_all


def main() -> int:
    runs = asyncio.run(play_all())
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8"), runs), encoding="utf-8")
    wrong = [complaint for run in runs for complaint in (*run.complaints, *run.departures)]
    sys.stdout.write("\n".join([f"wrote {PAGE.name}", *wrong]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
