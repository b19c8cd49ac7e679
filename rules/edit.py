"""A rules text with one thing changed: a parameter, a mode, a mute. All else stays, byte for byte.

Nothing is written anew from what was read: the places are known where a value stands, and only these
characters change, so comments and layout are the trader's as before. A result that does not check, or that
changes more than was asked, is refused. A text may have several files in it, as `Rulebook.text` has.
"""

import re
from dataclasses import dataclass, replace

from options import RuleError
from rules.chain import joined_text, split_text
from rules.example_moves import moved_examples
from rules.expression import Literal, Source, parse_literal
from rules.facts import Unit
from rules.loading import parse
from rules.problem import Mark, Problems, did_you_mean
from rules.rulebook import MODES, Mode, Rule, Rulebook
from rules.source import Mapping, Node, Scalar, read_tree
from rules.source import Sequence as ListNode

_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_$.][A-Za-z0-9_.%$/:+ -]*[A-Za-z0-9_.%]|[A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class _Change:
    """Characters `start` to `end` of one of the files become `text`."""

    piece: int
    start: int
    end: int
    text: str


def with_parameter(
    text: str,
    rule: str,
    parameter: str,
    value: str,
    override: str | None = None,
    move_examples: bool = False,
    path: str = "rules.yaml",
) -> str:
    """The text with another value of a rule's parameter, or of its override for `override`.

    `value` is written as in the file, with its unit. `move_examples`: in examples of the rule that do not
    hold any more, one number moves by as much as the parameter, where that mends it. Raises RuleError when
    there is no such parameter or the value is none, RulesInvalid when the rules with it are not sound;
    `path` is named in messages.
    """
    before = parse(text, path)
    old = rule_of(before, rule)
    where = "" if override is None else f" in the override for {override}"
    known = old.parameters if override is None else old.overrides.get(override)
    if known is None:
        hint = did_you_mean(str(override), old.overrides) if old.overrides else "it has none"
        raise RuleError(f"{rule} has no override for {override}: {hint}")
    if parameter not in known:
        hint = did_you_mean(parameter, known) if known else "it has none"
        raise RuleError(f"{rule} has no parameter {parameter}{where}: {hint}")
    place, node = _place_of(text, rule)
    holder = node.get("params") if override is None else _under(node.get("overrides"), override)
    scalar = _under(holder, parameter)
    assert isinstance(scalar, Scalar)
    literal = _literal(value)
    changes = [_Change(place, scalar.start, scalar.end, literal.source.text)]
    if move_examples:
        moves = moved_examples(_rule_with(old, parameter, literal, override), node, known[parameter], literal)
        changes += [_Change(place, *move) for move in moves]
    return _with_rule(before, _changed(text, *changes), rule, path)


def with_mode(text: str, rule: str, mode: Mode, path: str = "rules.yaml") -> str:
    """The text with another mode of a rule; a rule without `mode:` gets one behind its id.

    Raises RuleError when there is no such rule or mode, RulesInvalid when the rules are not sound.
    """
    if mode not in MODES:
        raise RuleError(f"there is no mode {mode}: {did_you_mean(mode, MODES)}")
    before = parse(text, path)
    if rule_of(before, rule).mode == mode:
        return text
    place, node = _place_of(text, rule)
    written = node.get("mode")
    if isinstance(written, Scalar):
        change = _Change(place, written.start, written.end, mode)
    else:
        key, name = node.items["id"]
        assert isinstance(name, Scalar)
        piece = split_text(text)[place]
        if node.flow:
            change = _Change(place, name.end, name.end, f", mode: {mode}")
        else:
            change = _line_behind(piece, place, name.end, f"{' ' * (key.mark.column - 1)}mode: {mode}")
    return _with_rule(before, _changed(text, change), rule, path)


def with_mute(text: str, rule: str, on: str, until: str, reason: str, path: str = "rules.yaml") -> str:
    """The text with one mute more, at the end of the list (of the file itself, not of what it extends).

    `until` is written as in the file. Raises RuleError when there is no such rule, RulesInvalid when
    the mute is not sound.
    """
    before = parse(text, path)
    rule_of(before, rule)
    words = {"rule": rule, "on": on, "until": until, "reason": reason}
    mute = f"{{{', '.join(f'{key}: {_quoted(word)}' for key, word in words.items())}}}"
    new_text = _changed(text, _addition(split_text(text)[0], mute))
    after = parse(new_text, path)
    return _sound(new_text, path, before.rules == after.rules and before.mutes == after.mutes[:-1])


def without_mute(text: str, rule: str, on: str, path: str = "rules.yaml") -> str:
    """The text without the mutes of a rule on something; raises RuleError when there is none."""
    book = parse(text, path)
    changes = [
        change
        for place, piece in enumerate(split_text(text))
        for change in _removals(piece, place, _tree(piece).get("mutes"), (rule, on))
    ]
    if not changes:
        known = ", ".join(f"{mute.rule} on {mute.on}" for mute in book.mutes) or "nothing"
        raise RuleError(f"{rule} is not muted on {on}: muted is {known}")
    new_text = _changed(text, *changes)
    after = parse(new_text, path)
    kept = tuple(mute for mute in book.mutes if (mute.rule, mute.on) != (rule, on))
    return _sound(new_text, path, book.rules == after.rules and kept == after.mutes)


def rule_of(book: Rulebook, rule: str) -> Rule:
    """The rule with this id; raises RuleError when there is none."""
    for each in book.rules:
        if each.id == rule:
            return each
    raise RuleError(f"there is no rule {rule}: {did_you_mean(rule, [each.id for each in book.rules])}")


# Places


def _tree(piece: str) -> Mapping:
    tree = read_tree(piece, Problems("", ""))
    assert tree is not None
    return tree


def _place_of(text: str, rule: str) -> tuple[int, Mapping]:
    """The file and the entry of a rule: that of the first file which has it, since it says what holds."""
    for place, piece in enumerate(split_text(text)):
        tree = _tree(piece)
        for key in ("rules", "replace", "append"):
            listed = tree.get(key)
            for entry in listed.items if isinstance(listed, ListNode) else []:
                name = _under(entry, "id")
                if isinstance(entry, Mapping) and isinstance(name, Scalar) and name.text == rule:
                    return place, entry
    raise AssertionError(f"a rulebook with a rule {rule} has an entry of it")


def _under(node: Node | None, key: str) -> Node | None:
    return node.get(key) if isinstance(node, Mapping) else None


def _line_behind(piece: str, place: int, offset: int, line: str) -> _Change:
    """A new line behind the one that ends at or contains `offset`, with the line ends of the file."""
    end = "\r\n" if "\r\n" in piece else "\n"
    line = line.replace("\n", end)
    if offset > 0 and piece[offset - 1 : offset] == "\n":
        return _Change(place, offset, offset, line + end)
    following = piece.find("\n", offset)
    if following < 0:
        return _Change(place, len(piece), len(piece), end + line + end)
    return _Change(place, following + 1, following + 1, line + end)


def _addition(piece: str, mute: str) -> _Change:
    """What puts a mute at the end of a file's list."""
    tree = _tree(piece)
    listed, indent = tree.get("mutes"), " " * (tree.mark.column - 1)
    if isinstance(listed, ListNode) and listed.flow:
        return _Change(0, listed.end - 1, listed.end - 1, f"{', ' if listed.items else ''}{mute}")
    if isinstance(listed, ListNode):
        return _line_behind(piece, 0, listed.end, f"{' ' * (listed.mark.column - 1)}- {mute}")
    if isinstance(listed, Scalar) and listed.text:
        return _Change(0, listed.start, listed.end, f"[{mute}]")
    if isinstance(listed, Scalar):
        return _line_behind(piece, 0, listed.start, f"{indent}  - {mute}")
    if tree.flow:
        return _Change(0, tree.end - 1, tree.end - 1, f", mutes: [{mute}]")
    return _line_behind(piece, 0, len(piece), f"\n{indent}mutes:\n{indent}  - {mute}")


def _removals(piece: str, place: int, listed: Node | None, what: tuple[str, str]) -> list[_Change]:
    """What takes the mutes of (rule, on) out of a list."""
    items = listed.items if isinstance(listed, ListNode) else []
    chosen = [
        number
        for number, item in enumerate(items)
        if tuple(_text(_under(item, key)) for key in ("rule", "on")) == what
    ]
    if not isinstance(listed, ListNode) or not chosen:
        return []
    if not listed.flow:
        return [_lines_of(piece, place, items[number]) for number in chosen]
    kept = [piece[item.start : item.end] for number, item in enumerate(items) if number not in chosen]
    return [_Change(place, listed.start, listed.end, f"[{', '.join(kept)}]")]


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, Scalar) else None


def _lines_of(piece: str, place: int, item: Node) -> _Change:
    """The whole lines of an item of a list that is written in lines."""
    start = piece.rfind("\n", 0, piece.rfind("-", 0, item.start)) + 1
    following = piece.find("\n", item.end - 1)
    return _Change(place, start, len(piece) if following < 0 else following + 1, "")


# Texts


def _literal(value: str) -> Literal:
    """The value that is meant, its text as it is to stand in the file; raises RuleError when it is none."""
    value, nowhere = value.strip(), Mark(1, 1)
    if _WORD.fullmatch(value):
        return Literal(value, Unit.TEXT, Source(nowhere, value))
    try:
        return parse_literal(value, nowhere)
    except ValueError as error:
        raise RuleError(str(error)) from error


def _quoted(word: str) -> str:
    """The word as YAML, in quotes where it could be read as something else."""
    word = " ".join(word.split())
    if _PLAIN.fullmatch(word) and not re.search(r": |:$", word):
        return word
    return "'" + word.replace("'", "''") + "'"


def _changed(text: str, *changes: _Change) -> str:
    pieces = split_text(text)
    for change in sorted(changes, key=lambda change: change.start, reverse=True):
        piece = pieces[change.piece]
        pieces[change.piece] = piece[: change.start] + change.text + piece[change.end :]
    return joined_text(text, pieces)


def _rule_with(rule: Rule, parameter: str, literal: Literal, override: str | None) -> Rule:
    if override is None:
        return replace(rule, parameters={**rule.parameters, parameter: literal})
    values = {**rule.overrides[override], parameter: literal}
    return replace(rule, overrides={**rule.overrides, override: values})


def _with_rule(before: Rulebook, new_text: str, rule: str, path: str) -> str:
    """The new text, when it differs in nothing but numbers and mode of this rule."""
    after = parse(new_text, path)
    same = (before.tracked, before.mutes, _but(before, rule)) == (
        after.tracked,
        after.mutes,
        _but(after, rule),
    )
    return _sound(new_text, path, same)


def _but(book: Rulebook, rule: str) -> list[Rule]:
    """All rules, this one without what may be changed."""
    return [
        replace(each, parameters={}, overrides={}, mode="live", examples=()) if each.id == rule else each
        for each in book.rules
    ]


def _sound(new_text: str, path: str, as_asked: bool) -> str:
    if not as_asked:
        raise RuleError(f"{path} is written in a way that cannot be changed in place: edit the file itself")
    return new_text
