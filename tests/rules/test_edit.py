"""One value of a rules text is changed, and nothing else: not a blank, not a comment."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rules
from options import RuleError
from rules.edit import with_mode, with_mute, with_parameter, without_mute

TEXT = """version: 1   # mine
rules:
  # first things first
  - id: take     # the money
    priority: 1
    when: profit >= $full and dte <= $late
    params: {full:  80%,   late: 30d}   # both mine
    overrides:
      iron_condor: {full: '60%'}
      IWM:
        full: 70%     # small caps
    do: {close: mid}
  - {id: out, priority: 2, when: dte <= 1d, do: close}   # short
"""
DEFAULT = rules.default_rules_path().read_text()


def test_only_the_value_changes() -> None:
    assert with_parameter(TEXT, "take", "full", "85%") == TEXT.replace("80%", "85%")
    assert with_parameter(TEXT, "take", "late", "21d") == TEXT.replace("30d", "21d")


def test_an_override_is_changed_where_it_is_written_quotes_included() -> None:
    assert with_parameter(TEXT, "take", "full", "65%", "iron_condor") == TEXT.replace("'60%'", "65%")
    assert with_parameter(TEXT, "take", "full", "75%", "IWM") == TEXT.replace("70%  ", "75%  ")


def test_a_mode_that_is_written_is_changed_and_one_that_is_not_gets_a_line() -> None:
    shadow = with_mode(TEXT, "take", "shadow")
    assert shadow == TEXT.replace("# the money\n", "# the money\n    mode: shadow\n")
    assert with_mode(shadow, "take", "off") == shadow.replace("mode: shadow", "mode: off")
    assert with_mode(TEXT, "out", "off") == TEXT.replace("{id: out,", "{id: out, mode: off,")
    assert with_mode(TEXT, "out", "live") == TEXT


def test_a_mute_is_added_at_the_end_and_taken_away_again() -> None:
    once = with_mute(TEXT, "take", "IWM", "2026-03-20", "earnings")
    assert once == TEXT + "\nmutes:\n  - {rule: take, on: IWM, until: 2026-03-20, reason: earnings}\n"
    twice = with_mute(once, "out", "iron_condor", "2026-03-20 15:30 America/New_York", "it's: mine, #1")
    assert twice == once + (
        "  - {rule: out, on: iron_condor, until: 2026-03-20 15:30 America/New_York, "
        "reason: 'it''s: mine, #1'}\n"
    )
    assert rules.parse(twice).mutes[1].reason == "it's: mine, #1"
    assert without_mute(twice, "out", "iron_condor") == once
    none = without_mute(once, "take", "IWM")
    assert none == TEXT + "\nmutes:\n"
    assert with_mute(none, "take", "IWM", "2026-03-20", "earnings") == once


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mutes: []  # none\n", "mutes: [{rule: out, on: IWM, until: 2026-03-20, reason: x}]  # none\n"),
        ("mutes: null\n", "mutes: [{rule: out, on: IWM, until: 2026-03-20, reason: x}]\n"),
        ("mutes:   # none\n", "mutes:   # none\n  - {rule: out, on: IWM, until: 2026-03-20, reason: x}\n"),
        ("mutes:", "mutes:\n  - {rule: out, on: IWM, until: 2026-03-20, reason: x}\n"),
        (
            "mutes:\n- rule: take\n  on: IWM\n  until: 2026-03-20\n  reason: >\n    of\n    it\n# end\n",
            "mutes:\n- rule: take\n  on: IWM\n  until: 2026-03-20\n  reason: >\n    of\n    it\n"
            "- {rule: out, on: IWM, until: 2026-03-20, reason: x}\n# end\n",
        ),
    ],
)
def test_a_list_of_mutes_is_added_to_however_it_is_written(before: str, after: str) -> None:
    assert with_mute(TEXT + before, "out", "IWM", "2026-03-20", "x") == TEXT + after


def test_of_several_mutes_only_those_named_go() -> None:
    lines = [
        "mutes:\n",
        "  # ours\n",
        "  - {rule: take, on: IWM, until: 2026-03-20, reason: x}   # gone\n",
        "  - rule: out\n    on: IWM   # stays\n    until: 2026-03-20\n    reason: x\n",
        "  - rule: take\n    on: IWM\n    until: 2026-03-22\n    reason: again\n",
        "# end\n",
    ]
    assert without_mute(TEXT + "".join(lines), "take", "IWM") == TEXT + "".join(
        lines[place] for place in (0, 1, 3, 5)
    )
    flow = "mutes: [{rule: take, on: IWM, until: 2026-03-20, reason: x}, {rule: out, on: IWM, "
    assert without_mute(TEXT + flow + "until: 2026-03-20, reason: x}]", "take", "IWM") == (
        TEXT + "mutes: [{rule: out, on: IWM, until: 2026-03-20, reason: x}]"
    )


def test_a_file_of_windows_keeps_its_line_ends() -> None:
    text = TEXT.replace("\n", "\r\n")
    assert with_mode(text, "take", "off") == text.replace(
        "# the money\r\n", "# the money\r\n    mode: off\r\n"
    )
    assert "\n" not in with_mute(text, "take", "IWM", "2026-03-20", "x").replace("\r\n", "")


def test_the_file_that_has_the_rule_is_changed_and_mutes_go_into_the_first(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(TEXT)
    own = "{id: out, priority: 2, when: dte <= $d, params: {d: 2d}, do: close}"
    first = f"extends: base.yaml\nreplace:\n  - {own}\n"
    mine.write_text(first)
    text = rules.load(mine).text
    assert with_parameter(text, "take", "full", "85%") == text.replace("80%", "85%")
    assert with_parameter(text, "out", "d", "3d") == text.replace("2d", "3d")
    mark = "\n#--- extended: base.yaml ---\n"
    mute = "\nmutes:\n  - {rule: take, on: IWM, until: 2026-03-20, reason: x}\n"
    assert with_mute(text, "take", "IWM", "2026-03-20", "x") == first + mute + mark + TEXT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: with_parameter(TEXT, "tkae", "full", "1%"), "there is no rule tkae: did you mean take?"),
        (lambda: with_parameter(TEXT, "take", "ful", "1%"), "take has no parameter ful: did you mean full?"),
        (lambda: with_parameter(TEXT, "out", "full", "1%"), "out has no parameter full: it has none"),
        (
            lambda: with_parameter(TEXT, "take", "late", "1d", "IWM"),
            "take has no parameter late in the override for IWM: known are: full",
        ),
        (
            lambda: with_parameter(TEXT, "take", "full", "1%", "SPY"),
            "take has no override for SPY: known are: IWM, iron_condor",
        ),
        (lambda: with_parameter(TEXT, "take", "full", "lots of it"), "'lots of it' is not a number"),
        (lambda: with_parameter(TEXT, "take", "full", "80%}, x: {"), "is not a number"),
        (lambda: with_mode(TEXT, "take", "on"), "there is no mode on: known are: live, off, shadow"),  # type: ignore[arg-type]
        (lambda: without_mute(TEXT, "take", "IWM"), "take is not muted on IWM: muted is nothing"),
    ],
)
def test_what_is_not_there_is_not_changed(change: object, said: str) -> None:
    with pytest.raises(RuleError, match=re.escape(said)):
        change()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: with_parameter(TEXT, "take", "full", "85"), "profit is a ratio"),
        (lambda: with_mute(TEXT, "take", "iron_condr", "2026-03-20", "x"), "unknown structure iron_condr"),
        (lambda: with_mute(TEXT, "take", "IWM", "soon", "x"), "until soon is neither a day nor a time"),
        (lambda: with_mute(TEXT, "take", "IWM", "2026-03-20", " "), "a mute needs a reason"),
        (
            lambda: with_parameter(DEFAULT, "stop_loss", "loss", "-250%"),
            "stop_loss is quiet on this example of fires",
        ),
    ],
)
def test_a_change_that_does_not_check_is_refused_with_its_problems(change: object, said: str) -> None:
    with pytest.raises(rules.RulesInvalid, match=re.escape(said)):
        change()  # type: ignore[operator]


# Whatever is changed in the shipped rules, all else is the same, in the text and in the rules

PLACES = [(rule.id, name, None) for rule in rules.parse(DEFAULT).rules for name in rule.parameters] + [
    (rule.id, name, target)
    for rule in rules.parse(DEFAULT).rules
    for target, values in rule.overrides.items()
    for name in values
]
WITHOUT_EXAMPLES = re.sub(r"(?m)^    examples:\n(?:      .*\n)+", "", DEFAULT)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), st.decimals(1, 9999, places=2))
def test_whatever_value_is_changed_all_else_stays(place: tuple[str, str, str | None], amount: object) -> None:
    rule, name, target = place
    before = rules.parse(WITHOUT_EXAMPLES)
    old = next(each for each in before.rules if each.id == rule)
    literal = (old.overrides[target] if target else old.parameters)[name]
    if rule == "dte_roll" and name == "target":
        amount = int(amount)  # type: ignore[call-overload]
    value = re.sub(r"[\d.]+", str(amount), literal.source.text)
    text = with_parameter(WITHOUT_EXAMPLES, rule, name, value, target)
    head = (
        next(n for n, (a, b) in enumerate(zip(text, WITHOUT_EXAMPLES, strict=False)) if a != b)
        if (text != WITHOUT_EXAMPLES)
        else len(text)
    )
    grown = len(value) - len(literal.source.text)
    assert len(text) == len(WITHOUT_EXAMPLES) + grown
    tail = head + len(literal.source.text)
    assert text[tail + grown :] == WITHOUT_EXAMPLES[tail:]
    after = rules.parse(text)
    assert [each for each in after.rules if each.id != rule] == [
        each for each in before.rules if each.id != rule
    ]
    new = next(each for each in after.rules if each.id == rule)
    changed = (new.overrides[target] if target else new.parameters)[name]
    assert changed.source.text == value
    assert {key: value for key, value in new.parameters.items() if key != name or target} == {
        key: value for key, value in old.parameters.items() if key != name or target
    }


def test_examples_move_with_the_number_when_that_is_asked_for() -> None:
    text = with_parameter(DEFAULT, "stop_loss", "loss", "-250%", move_examples=True)
    assert text == DEFAULT.replace("{loss: -200%,", "{loss: -250%,").replace(
        "{profit: -200%, dte: 30d}", "{profit: -250%, dte: 30d}"
    )
    text = with_parameter(DEFAULT, "time_exit", "last", "2d", move_examples=True)
    assert text == DEFAULT.replace("params: {last: 1d}", "params: {last: 2d}").replace(
        "quiet: {dte: 2d}", "quiet: {dte: 3d}"
    )
    text = with_parameter(DEFAULT, "take_profit", "full", "35%", "crash", move_examples=True)
    assert text == DEFAULT.replace("crash: {full: 40%}", "crash: {full: 35%}").replace(
        "{profit: 39.9%, regime: crash}", "{profit: 34.9%, regime: crash}"
    )


def test_examples_that_hold_stay_and_those_that_cannot_be_mended_are_told() -> None:
    assert with_parameter(DEFAULT, "gamma_risk", "limit", "0.105", move_examples=True) == DEFAULT.replace(
        "{limit: 0.10,", "{limit: 0.105,"
    )
    twice = (
        TEXT.replace(">= $full", ">= 2 * $full")
        .replace("# small caps", "")
        .replace(
            "    do: {close: mid}", "    examples: {fires: {profit: 160%, dte: 9d}}\n    do: {close: mid}"
        )
    )
    with pytest.raises(rules.RulesInvalid, match="take is quiet on this example of fires"):
        with_parameter(twice, "take", "full", "90%", move_examples=True)


# However a file is laid out

COMMENTS = st.sampled_from(["", "   # mine", "  # 12.34 % of it, {not: this}", "  #"])
QUOTES = st.sampled_from(["", "'", '"'])


@st.composite
def layouts(draw: st.DrawFn) -> tuple[str, str, str | None]:
    """A rules file with `p: 12.34%` once in it, how that is written, and the override that has it."""
    end, step = draw(st.sampled_from(["\n", "\r\n"])), " " * draw(st.sampled_from([1, 2, 4]))
    quote, target = draw(QUOTES), draw(st.sampled_from([None, "IWM", "iron_condor"]))
    mine = f"{quote}12.34%{quote}"
    base, special = ("70%", mine) if target else (mine, "70%")
    other = target or "IWM"

    def mapping(pairs: list[tuple[str, str]], indent: str) -> str:
        if draw(st.booleans()):
            gap = draw(st.sampled_from([" ", "   "]))
            return " {" + f",{gap}".join(f"{key}:{gap}{value}" for key, value in pairs) + "}"
        return "".join(f"{end}{indent}{key}: {value}{draw(COMMENTS)}" for key, value in pairs)

    inner = f"  {step}{step}"
    overrides = draw(
        st.sampled_from(
            [f" {{{other}: {{p: {special}}}}}", f"{end}{inner}{other}: {{p: {special}}}{draw(COMMENTS)}"]
        )
    )
    keys = draw(
        st.permutations(
            [
                "id: r",
                "priority: 1",
                f"when: profit >= $p{end}{inner}and dte <= $late",
                f"params:{mapping([('p', base), ('late', '9d')], inner)}",
                f"overrides:{overrides}",
                "do: {close: mid}",
            ]
        )
    )
    lines = [f"{'- ' if place == 0 else '  '}{key}{draw(COMMENTS)}" for place, key in enumerate(keys)]
    body = draw(st.sampled_from(["", end])).join(f"{step}{line}{end}" for line in lines)
    return f"version: 1{end}# 12.34%{end}rules:{draw(COMMENTS)}{end}{body}", mine, target


@settings(max_examples=40, deadline=None)
@given(layouts(), st.sampled_from(["1%", "99.999%", "3x", "0.5"]))
def test_however_a_file_is_laid_out_only_that_value_changes(
    layout: tuple[str, str, str | None], value: str
) -> None:
    text, written, target = layout
    place = text.index(f"p: {written}") if f"p: {written}" in text else text.index(f"p:   {written}")
    start = text.index(written, place)
    expected = text[:start] + value + text[start + len(written) :]
    assert with_parameter(text, "r", "p", value, target) == expected
    shadow = with_mode(text, "r", "shadow")
    added = re.search(r"\r?\n *mode: shadow(?=\r?\n)", shadow)
    assert added is not None
    assert shadow[: added.start()] + shadow[added.end() :] == text
    muted = with_mute(text, "r", "IWM", "2026-03-20", "x")
    assert muted.startswith(text)
    assert rules.parse(without_mute(muted, "r", "IWM")).rules == rules.parse(text).rules


COOKBOOK = sorted((Path(__file__).parents[2] / "docs" / "cookbook").glob("[!_]*.yaml"))


@pytest.mark.parametrize(
    "path", [path for path in COOKBOOK if "_test" not in path.name], ids=lambda path: path.stem
)
def test_numbers_of_the_cookbook_are_found_where_they_stand(path: Path) -> None:
    text = rules.load(path).text
    for rule in rules.load(path).rules:
        for name, literal in list(rule.parameters.items())[-1:]:
            assert with_parameter(text, rule.id, name, literal.source.text) == text
