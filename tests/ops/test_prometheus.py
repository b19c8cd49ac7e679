"""The alerting rules ask for what the daemon gives."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.metrics import Metrics

FILE = Path(__file__).parents[2] / "ops" / "prometheus" / "optiond.rules.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
GIVEN = {
    f"{metric.name}{ending}": metric.type
    for metric in Metrics().registry.collect()
    for ending in {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(metric.type, ("",))
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_metrics_there_are_in_the_way_of_their_kind(rule: dict[str, Any]) -> None:
    asked = re.findall(r"optiond_\w+", rule["expr"])
    assert asked or rule["alert"] == "OptiondDown"
    assert set(asked) <= GIVEN.keys()
    for name in asked:
        if GIVEN[name] in ("counter", "histogram"):
            assert re.search(rf"(rate|increase)\({name}\b", rule["expr"]), "a counter is asked for its pace"
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith((".", "?"))


def test_no_rule_has_the_name_of_another() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
