"""The schemas that editors use say what the loaders say, as far as shape and units go."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

import rules
from rules.schema import FILE_KEYS, MUTE_KEYS, RULE_KEYS, TEST_KEYS, TIER_KEYS, rules_schema, series_schema
from rules.series import SUFFIX, run_series

ROOT = Path(__file__).parents[2]
FILES = [rules.default_rules_path(), *(ROOT / "docs" / "cookbook").glob("*.yaml")]
RULES_FILES = sorted(path for path in FILES if not path.name.endswith(SUFFIX))
TEST_FILES = sorted(
    path for path in (*FILES, ROOT / "rules" / "default_test.yaml") if path.name.endswith(SUFFIX)
)

RULE = "id: a\n    priority: 1\n    when: dte <= 1d\n    do: close"
SOUND = f"rules:\n  - {RULE}\n"
TEST = "tests:\n  - name: t\n    never: a\n"


def as_editors_read(text: str) -> Any:
    """YAML 1.2 with times as text."""

    def plain(value: Any) -> Any:
        match value:
            case dict():
                return {str(key): plain(inner) for key, inner in value.items()}
            case list():
                return [plain(inner) for inner in value]
            case date() | datetime():
                return value.isoformat()
        return value

    return plain(YAML(typ="safe", pure=True).load(text))


def errors(schema: dict[str, Any], text: str) -> list[str]:
    return [error.message for error in Draft7Validator(schema).iter_errors(as_editors_read(text))]


def named(path: Path) -> str:
    return path.name


def test_both_are_schemas() -> None:
    for schema in (rules_schema(), series_schema()):
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("path", RULES_FILES, ids=named)
def test_shipped_rules_are_accepted(path: Path) -> None:
    assert errors(rules_schema(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TEST_FILES, ids=named)
def test_shipped_tests_are_accepted(path: Path) -> None:
    assert errors(series_schema(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("zzz: 1\n" + SOUND, FILE_KEYS),
        (SOUND + "    zzz: 1\n", RULE_KEYS),
        ("rules: [{id: a, priority: 1, tiers: [{when: dte < 1d, do: close, zzz: 1}]}]", TIER_KEYS),
        (SOUND + "mutes: [{zzz: 1}]", MUTE_KEYS),
    ],
)
def test_every_key_of_the_language_is_in_the_schema(text: str, keys: dict[str, str]) -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        rules.parse(text)
    assert known(str(caught.value)) == set(keys)


def test_every_key_of_a_test_is_in_the_schema() -> None:
    with pytest.raises(rules.RulesInvalid) as caught:
        run_series(rules.parse(SOUND), TEST + "    zzz: 1\n")
    assert known(str(caught.value)) == set(TEST_KEYS)


def known(message: str) -> set[str]:
    listed = re.search(r"unknown key zzz in .*: known are: (.*)", message)
    assert listed, message
    return set(listed[1].split(", "))


def test_every_fact_has_its_hover_text() -> None:
    for schema in (rules_schema(), series_schema()):
        facts = schema["definitions"]["facts"]["properties"]
        assert facts.keys() == rules.FACTS.keys()
        assert all(fact.meaning in facts[name]["description"] for name, fact in rules.FACTS.items())


def test_every_fact_has_a_condition_to_begin_with_and_it_is_sound() -> None:
    offered = rules_schema()["definitions"]["condition"]["anyOf"][0]["examples"]
    assert [text.split()[0] for text in offered] == list(rules.FACTS)
    for text in offered:
        rules.parse(SOUND.replace("when: dte <= 1d", f'when: "{text}"'))


ACCEPTED = (
    "for: 30s",
    "cooldown: 1.5h",
    "mode: off",
    "urgency: high",
    "urgency: {high: dte <= 21d, immediate: {any: [vix > 40, dte < 1d]}}",
    "params: {a: 50%, b: -3, c: $500, d: 21d, e: iron_condor}",
    "overrides: {iron_condor: {}, SPY: {}, low_vol: {}}",
    "examples: {fires: {dte: 1d, profit: 50%}, quiet: [{dte: 2d, profit: 0.5}, {dte: ~}]}",
    "examples: {quiet: {dte: 21d, vix: 20, vix_change: 5vol, net_credit_usd: -$500, quote_age: 2m}}",
    "examples: {quiet: {days_held: 0, profit: 0, gamma: 0.1, regime: crash, iv_rank: 30, dte: 2d}}",
    "examples: {quiet: {dte: 2d, peak_profit: .5, profit: 3x}}",
)


@pytest.mark.parametrize("line", ACCEPTED)
def test_what_the_loader_accepts_is_accepted(line: str) -> None:
    text = f"{SOUND}    {line}\n"
    if line.startswith("overrides"):
        text += "    params: {}\n"
    rules.parse(text)
    assert errors(rules_schema(), text) == []


REFUSED = (
    ("priority: 1", "priority: 0"),
    ("priority: 1", "priority: high"),
    ("id: a", "id: Take Profit"),
    ("id: a", "name: a"),
    ("when: dte <= 1d", "when: 5"),
    ("when: dte <= 1d", "when: [dte <= 1d]"),
    ("when: dte <= 1d", "when: {or: [dte <= 1d]}"),
    ("when: dte <= 1d", "whan: dte <= 1d"),
    ("do: close", "do: clse"),
    ("do: close", "do: {close: at_mid}"),
    ("do: close", "do: {roll: 45d}"),
    ("do: close", "do: {roll: {dte: 45}}"),
    ("do: close", "do: {reduce: 0}"),
    ("do: close", "do: close\n    for: 3"),
    ("do: close", "do: close\n    for: 3vol"),
    ("do: close", "do: close\n    mode: paper"),
    ("do: close", "do: close\n    unknown: ignore"),
    ("do: close", "do: close\n    scope: account"),
    ("do: close", "do: close\n    urgency: soon"),
    ("do: close", "do: close\n    examples: {fires: {profit: 80}}"),
    ("do: close", "do: close\n    examples: {fires: {dte: 21}}"),
    ("do: close", "do: close\n    examples: {fires: {dte: 21%}}"),
    ("do: close", "do: close\n    examples: {fires: {net_credit_usd: 500}}"),
    ("do: close", "do: close\n    examples: {fires: {structure: condor}}"),
    ("do: close", "do: close\n    examples: {silent: {dte: 21d}}"),
    ("do: close", "do: close\n    tiers: [{when: dte < 1d, do: close}]"),
    ("do: close", "do: close\nmutes: [{rule: a, on: SPY, until: 2026-03-20}]"),
    ("do: close", "do: close\ntrack: {low: lowest(profit)}"),
    ("do: close", "do: close\nversion: 2"),
)


@pytest.mark.parametrize(("sound", "wrong"), REFUSED)
def test_a_mistake_in_shape_or_unit_is_refused_by_schema_and_loader(sound: str, wrong: str) -> None:
    text = SOUND.replace(sound, wrong)
    assert text != SOUND
    with pytest.raises(rules.RulesInvalid):
        rules.parse(text)
    assert errors(rules_schema(), text) != []


@pytest.mark.parametrize(
    "lines",
    [
        "series: {profit: 10% 30% ~ _*3 0.5*2, dte: 30d 29d, vix: 20 21.5 30vol}",
        "position: {structure: iron_condor, profit: 0.5, dte: ~, net_credit_usd: -$250}",
        "positions: {A: {regime: crash}, B: {}}",
        "book: {regime: crash normal ~, book_positions: 3 4}",
        "expect: {at 0m: a, otherwise: none, always: [a, b]}",
        "expect: {at 1h: {rule: a, action: {close: market}, urgency: high}}",
        "expect: {at 1h: {A: a, B: {rule: a, action: close}}}",
        "every: 1d",
    ],
)
def test_tests_are_accepted(lines: str) -> None:
    assert errors(series_schema(), f"{TEST}    {lines}\n") == []


@pytest.mark.parametrize(
    "lines",
    [
        "series: {proft: 10%}",
        "series: {profit: 10}",
        "series: {profit: 10% 30}",
        "series: {profit: '10%, 30%'}",
        "series: {dte: 30}",
        "position: {structure: condor}",
        "position: [structure]",
        "every: 5",
        "expect: {3m: a}",
        "expect: {}",
        "expect: {at 1m: {rule: a, urgency: soon}}",
        "expct: {at 1m: a}",
    ],
)
def test_mistakes_in_tests_are_refused_by_schema_and_reader(lines: str) -> None:
    text = f"{TEST}    {lines}\n"
    with pytest.raises(rules.RulesInvalid):
        run_series(rules.parse(SOUND), text)
    assert errors(series_schema(), text) != []
