from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import rules

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)

Decide = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def default_rules() -> rules.Rulebook:
    return rules.load(rules.default_rules_path())


@pytest.fixture(scope="session")
def decide(default_rules: rules.Rulebook) -> Decide:
    """The default rules' decision on one position seen once: facts as keywords, book facts in `market`."""

    def decide_once(market: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
        frame = pl.DataFrame({"position": ["A"]} | {name: [value] for name, value in facts.items()})
        _, decisions = rules.step(default_rules, rules.initial_state(), frame, market or {}, NOON)
        return decisions.row(0, named=True)

    return decide_once
