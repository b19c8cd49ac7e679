"""What `rules check` says of every kind of lint, word for word."""

from pathlib import Path

import pytest

import rules

HERE = Path(__file__).parent


def _cases() -> list[tuple[str, str, str]]:
    """(name, rules file, what is said of it) from messages.txt."""
    sections = (HERE / "messages.txt").read_text(encoding="utf-8").split("=== ")[1:]
    return [(section.split("\n", 1)[0], *section.split("\n", 1)[1].split("---\n")) for section in sections]  # type: ignore[misc]


@pytest.mark.parametrize(("text", "said"), [pytest.param(*case[1:], id=case[0]) for case in _cases()])
def test_every_lint_says_what_is_odd_and_proves_it(text: str, said: str) -> None:
    found = rules.lint(rules.parse(text))
    assert "\n".join(one.text for one in found) + "\n" == said


def test_every_kind_of_lint_has_its_message_here() -> None:
    kinds = {one.kind for _, text, _ in _cases() for one in rules.lint(rules.parse(text))}
    assert kinds == {
        "unsatisfiable",
        "never known",
        "always true",
        "shadowed",
        "redundant",
        "contradictory override",
        "hysteresis",
        "dead parameter",
        "urgency",
        "rolls again",
    }


def test_the_shipped_rules_have_nothing_odd(default_rules: rules.Rulebook) -> None:
    assert rules.lint(default_rules) == []


def test_the_order_of_v6_is_reported_with_what_could_never_win() -> None:
    found = rules.lint(rules.load(HERE / "v6_order.yaml"))
    assert [(one.line, one.kind, one.message, one.values, dict(one.proof)) for one in found] == [
        (
            100,
            "shadowed",
            "time_exit can never win: whenever it fires, dte_roll (priority 6) fires too: move it above "
            "dte_roll, or change one of them",
            "dte = 1 d: it fires, and so does dte_roll (priority 6)",
            {"dte": 1.0},
        ),
        (
            146,
            "shadowed",
            "gamma_risk can never win: whenever it fires, dte_roll (priority 6) fires too: move it above "
            "dte_roll, or change one of them",
            "gamma = 0.11, dte = 13 d: it fires, and so does dte_roll (priority 6)",
            {"gamma": 0.11, "dte": 13.0},
        ),
    ]


QUIET = [
    # A threshold between two others, a `once` tier, a rule above that rests in shadow mode, or holds longer.
    "rules:\n  - {id: a, priority: 1, when: dte <= 7d, mode: shadow, do: {close: mid}}\n"
    "  - {id: b, priority: 2, when: dte <= 3d, do: {close: mid}}\n",
    "rules:\n  - {id: a, priority: 1, when: dte <= 7d, mode: 'off', do: {close: mid}}\n"
    "  - {id: b, priority: 2, when: dte <= 3d, do: {close: mid}}\n",
    "rules:\n  - {id: a, priority: 1, when: dte <= 7d, for: 5m, do: {close: mid}}\n"
    "  - {id: b, priority: 2, when: dte <= 3d, for: 1m, do: {close: mid}}\n",
    "rules:\n  - id: a\n    priority: 1\n    tiers:\n"
    "      - {when: profit >= 50%, do: {reduce: half}, once: true}\n"
    "      - {when: profit >= 80%, do: {close: mid}}\n",
    # A later tier that only an override makes pointless is meant so.
    "rules:\n  - id: a\n    priority: 1\n    tiers:\n      - {when: profit >= $full, do: {close: mid}}\n"
    "      - {when: profit >= 50%, do: {reduce: half}, once: true}\n    params: {full: 80%}\n"
    "    overrides: {crash: {full: 40%}}\n",
    # A strategy's own value that sets back what its structure changed.
    "rules:\n  - id: a\n    priority: 1\n    when: profit >= $take\n    params: {take: 80%}\n"
    "    overrides: {iron_condor: {take: 50%}, patient: {take: 80%}}\n    do: {close: mid}\n",
    # A gap between firing and clearing.
    "rules:\n  - {id: a, priority: 1, when: vix > 35, clear_when: vix < 30, do: {close: mid}}\n",
    # A year of volatility is known like everything else.
    "rules:\n  - {id: a, priority: 1, when: iv_rank < 30, do: {close: mid}}\n",
]


@pytest.mark.parametrize("text", QUIET)
def test_what_makes_sense_is_not_reported(text: str) -> None:
    assert [one.message for one in rules.lint(rules.parse(text))] == []


def test_what_holds_at_least_as_long_shadows_what_holds_longer() -> None:
    text = (
        "rules:\n  - {id: a, priority: 1, when: dte <= 7d, for: 1m, do: {close: mid}}\n"
        "  - {id: b, priority: 2, when: dte <= 3d, for: 5m, do: {close: mid}}\n"
    )
    assert [one.kind for one in rules.lint(rules.parse(text))] == ["shadowed"]


def test_a_rule_of_an_extended_file_is_named_with_its_file(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("rules:\n  - {id: a, priority: 5, when: dte <= 7d and dte > 9d, do: {close: mid}}\n")
    own = tmp_path / "own.yaml"
    own.write_text("extends: base.yaml\nappend:\n  - {id: b, priority: 6, when: vix < 0, do: {close: mid}}\n")
    found = rules.lint(rules.load(own))
    assert [(Path(one.path).name, one.line) for one in found] == [("own.yaml", 3), ("base.yaml", 2)]
    assert all("    ^\n" in one.text for one in found)
