"""What was probably meant where a condition stops making sense, and how to write it."""

import re

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

UNITS_HINT = "write 50%, 3x, 21d, 2h, 2m, 30s, 5vol, $500 or a plain number"

_SIGNS = (
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("=>", "write `>=`"),
    ("=<", "write `<=`"),
    ("=", "write `==`"),
    ("!", "write `not`"),
    ("≥", "write `>=`"),
    ("≤", "write `<=`"),
    ("≠", "write `!=`"),
    ("%", "a percent sign belongs right behind a number"),
    ('"', "text stands in single quotes: 'iron_condor'"),
    ("‘", "text stands in straight quotes: 'iron_condor'"),
    ("’", "text stands in straight quotes: 'iron_condor'"),
    ("“", "text stands in straight quotes: 'iron_condor'"),
    ("[", "use ( ) in conditions"),
    (",", "a comma is only used in ( ): inside a YAML list put the condition in quotes"),
)
_SPOKEN = frozenset(
    ("is", "are", "above", "below", "over", "under", "than", "at", "equals", "exceeds", "more")
)
_UNITS = {
    **dict.fromkeys(("d", "day", "days", "dte"), "{0}d"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "{0}h"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "{0}m"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "{0}s"),
    **dict.fromkeys(("pct", "perc", "percent", "%"), "{0}%"),
    **dict.fromkeys(("x", "times"), "{0}x"),
    **dict.fromkeys(("vol", "vols", "points", "pts", "pt"), "{0}vol"),
    **dict.fromkeys(("usd", "dollar", "dollars"), "${0}"),
}
_SCALES = {"k": 1_000, "mio": 1_000_000, "mm": 1_000_000}
_WEEKS = frozenset(("w", "wk", "wks", "week", "weeks"))


def unit_advice(text: str, dollar: str, digits: str, unit: str) -> str:
    """What is wrong with a number that has an unknown unit, or a dollar sign and a unit."""
    word = unit.lower().strip("%") or "%"
    if word in _SCALES:
        return f"{text}: write it out: {dollar}{float(digits) * _SCALES[word]:.15g}"
    if dollar:
        return f"{text}: an amount of USD has no unit behind it: write ${digits}"
    return f"unknown unit {unit!r} in {text}: {_meant(digits, word) or UNITS_HINT}"


def number_advice(text: str) -> str:
    """What is wrong with a text that should be a number."""
    spaced = re.fullmatch(r"([+-]?)(\$?)\s*([\d.]+)\s*([A-Za-z%$]*)", text)
    if re.fullmatch(r"[+-]?\$?[\d.]+(,\d+)+\S*", text):
        return f"{text!r} is not a number: write it without commas, such as 1000 or 0.30"
    if spaced and spaced.group(4) == "$":
        return (
            f"{text!r} is not a number: the dollar sign stands before it, {spaced.group(1)}${spaced.group(3)}"
        )
    if spaced and spaced.group(2) and not spaced.group(4):
        return f"{text!r} is not a number: write {spaced.group(1)}${spaced.group(3)}"
    if spaced and (meant := _meant(spaced.group(1) + spaced.group(3), spaced.group(4).lower())):
        return f"{text!r} is not a number: {meant}"
    return f"{text!r} is not a number: {UNITS_HINT}"


def syntax_advice(text: str, offset: int, error: UnexpectedInput) -> str:
    """What is wrong at this place of a condition, and what to write."""
    before, rest = text[:offset].rstrip(), text[offset:]
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        if text.count("(") > text.count(")"):
            return "a ( is not closed: add ) (in a YAML list, put conditions with commas in quotes)"
        return "the condition ends too early: something is missing here"
    special = _bracket(before, rest) or _number(before, rest) or _quote(before, rest) or _word(before, rest)
    if special:
        return special
    if text[offset - 1 : offset + 1] == "<>":
        return "did not expect <> here: write `!=`"
    for sign, advice in _SIGNS:
        if rest.startswith(sign):
            return f"did not expect {sign} here: {advice}"
    if isinstance(error, UnexpectedCharacters):
        return f"did not expect {rest[0]!r} here: it is not part of the language"
    found = re.match(r"\S+", rest)
    shown = found.group(0) if found else rest[:1]
    if re.match(r"<|>|==|!=", rest):
        return f"did not expect {shown} here: compare two values at a time, or use `between … and …`"
    return f"did not expect {shown} here: an operator (and, or, >=, …) or a value is missing before it"


def _bracket(before: str, rest: str) -> str:
    function = re.search(r"[A-Za-z_]\w*$", before)
    if rest.startswith("(") and function:
        return f"there is no function {function.group(0)}: there are abs, min and max"
    if rest.startswith(")") and before.count("(") <= before.count(")"):
        return "did not expect ) here: it closes nothing, remove it"
    inside = re.search(r"\b(abs|min|max)\([^)]*$", before)
    if inside and re.match(r"<|>|==|!=", rest):
        return f"did not expect {rest[0]} here: close the bracket of {inside.group(1)} first"
    if rest.startswith(",") and re.search(r"\bbetween\b[^,]*$", before):
        return "did not expect , here: write between 10% and 20%"
    return ""


def _number(before: str, rest: str) -> str:
    """A number that goes on where it should have ended."""
    number = re.search(r"(\$?)(\d[\d.]*)$", before)
    if not number:
        return ""
    dollar, digits = number.groups()
    if re.match(r",\d", rest):
        return "did not expect , here: write numbers without commas, such as 1000 or 0.30"
    if rest.startswith("$"):
        return f"did not expect $ here: the dollar sign stands before the amount: ${digits}"
    word = re.match(r"[A-Za-z]+", rest)
    meant = _meant(digits, word.group(0).lower()) if word and not dollar else ""
    return f"did not expect {word.group(0)} here: {meant}" if word and meant else ""


def _quote(before: str, rest: str) -> str:
    if not rest.startswith("'"):
        return ""
    if re.search(r"\bin$", before):
        return "did not expect ' here: what it may be stands in brackets: in ('iron_condor', 'stock')"
    if rest.count("'") % 2:
        return "did not expect ' here: the text is not closed: 'iron_condor'"
    return "did not expect ' here: an operator (==, !=, in) is missing before it"


def _word(before: str, rest: str) -> str:
    found = re.match(r"[A-Za-z]+", rest)
    word = found.group(0) if found else ""
    if word in ("AND", "OR", "NOT", "IN", "BETWEEN", "And", "Or", "Not"):
        return f"did not expect {word} here: write it in small letters, `{word.lower()}`"
    doubled = re.search(r"\b(and|or|not)\s+(and|or)$", before)
    if doubled:
        return f"did not expect {word or rest[0]} here: `{doubled.group(0)}` has one word too many"
    if word.lower() in _SPOKEN and before:
        return f"did not expect {word} here: compare with a sign: >=, <=, >, <, == or !="
    return ""


def _meant(digits: str, word: str) -> str:
    """The number with the unit that the word means; empty when it means none, or it is no number."""
    if not re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", digits):
        return ""
    if word in _WEEKS:
        return f"write days, {7 * float(digits):g}d"
    return f"write {_UNITS[word].format(digits)}" if word in _UNITS else ""
