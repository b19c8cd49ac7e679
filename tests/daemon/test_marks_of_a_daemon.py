"""A daemon with fewer lines than contracts: the others are marked by the model, and measured when visited."""

from collections.abc import Callable
from typing import Any

import pytest

from lake import LakeReader

pytestmark = [pytest.mark.slow]
FEW_LINES = {"line_budget": 10, "line_reserve": 2, "visit_lines": 2, "record_every_s": 5, "flush_every_s": 1}


def test_contracts_without_a_line_of_their_own_are_marked_and_their_marks_measured(
    start_gateway: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = start_gateway("--market", "model", "--speed", "20")
    home.settle(gateway, sync=FEW_LINES)
    daemon = home.start()

    def measured() -> dict[str, Any] | None:
        marks = (home.status() or {}).get("marks") or {}
        if not marks or marks["errors"]["visits"] < 20:
            return None
        counts = marks["contracts"]
        return marks if counts["modelled"] and not counts["missing"] + counts["stale"] else None

    marks = helpers.wait_until(measured, 90, "contracts visited again and again")
    helpers.stop(daemon)
    assert marks["errors"]["within"] >= 0.5
    assert marks["errors"]["median_delta"] <= 0.01
    reader = LakeReader.open(home.path)
    assert reader.table("mark_errors").collect().height >= 20
    assert "modelled" in set(reader.table("snapshots").collect()["quote_state"])
