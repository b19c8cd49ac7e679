"""docs/brokers.md names every promise, and none that does not exist."""

import re
from pathlib import Path

from tests.broker.conformance.test_promises import PROMISES

DOCUMENT = Path(__file__).parents[3] / "docs" / "brokers.md"


def test_every_promise_is_described() -> None:
    described = re.findall(r"^- `(\w+)`:", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert described == [promise.__name__ for promise in PROMISES]
