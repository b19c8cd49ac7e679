"""JSON Schema of rules files and of their tests, for editors: completion, hover text and red underlines.

Made from the catalogue and the words of the language. It knows the shape of a file and the units of its
values; what a condition means, only `load` knows.
"""

import json
from collections.abc import Mapping
from typing import Any

from rules.action_reader import ACTIONS
from rules.expectation import WANTED_KEYS
from rules.extending import MAX_RULES
from rules.facts import CATALOGUE, REGIMES, Fact, Unit
from rules.rulebook import MODES, URGENCIES
from rules.targets import STRUCTURES

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"

_NUMBER = r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_DECIMAL = r"(0+|\d*\.\d+|\d+\.)"
_WORD = "^[a-z][a-z0-9_]*$"
# What a value of each unit looks like as text, and which plain numbers YAML makes of it.
_TEXT_OF = {
    Unit.RATIO: f"[+-]?({_NUMBER}(%|x)|{_DECIMAL})",
    Unit.DAYS: f"[+-]?({_NUMBER}d|0)",
    Unit.SECONDS: f"[+-]?({_NUMBER}[smh]|0)",
    Unit.POINTS: f"[+-]?{_NUMBER}(vol)?",
    Unit.PERCENTILE: f"[+-]?{_NUMBER}",
    Unit.USD: rf"[+-]?(\${_NUMBER}|0)",
    Unit.NUMBER: f"[+-]?{_NUMBER}",
}
HOW_TO_WRITE = {
    Unit.RATIO: "a share: 50%, 3x or 0.5",
    Unit.DAYS: "days: 21d",
    Unit.SECONDS: "a duration: 30s, 2m, 1h",
    Unit.POINTS: "VIX points: 5vol or 5",
    Unit.PERCENTILE: "0 to 100",
    Unit.USD: "USD: $500",
    Unit.NUMBER: "a plain number",
    Unit.TEXT: "text",
}
_SAMPLES = {
    Unit.RATIO: "50%",
    Unit.DAYS: "21d",
    Unit.SECONDS: "2m",
    Unit.POINTS: "5vol",
    Unit.PERCENTILE: "30",
    Unit.USD: "$500",
    Unit.NUMBER: "2",
}
_PLAIN: Mapping[Unit, Schema] = {
    # A whole number is a share of a hundred times what was meant: 80 is not 80 %.
    Unit.RATIO: {"type": "number", "not": {"type": "integer", "not": {"const": 0}}},
    Unit.DAYS: {"const": 0},
    Unit.SECONDS: {"const": 0},
    Unit.USD: {"const": 0},
}
_UNKNOWN: Schema = {"type": "null"}

FILE_KEYS = {
    "version": "the version of the language: 1",
    "extends": "another rules file, seen from the folder of this one, whose rules are taken over",
    "track": "values folded per position: the highest or lowest since it was opened",
    "macros": "conditions with a name, for several rules",
    "rules": "the rules; the first by priority that fires wins",
    "replace": "with `extends`: rules in place of those of the same id",
    "append": "with `extends`: new rules",
    "remove": "with `extends`: ids of rules to leave out",
    "mutes": "what rules let alone for a while: they decide and record, as in shadow mode, and do not act",
}
RULE_KEYS = {
    "id": "its name: small letters, digits and _",
    "priority": "1 wins over 2",
    "when": "the condition",
    "do": "the action",
    "tiers": "instead of `when` and `do`: a list of `{when, do, urgency, once}`, the first that fires counts",
    "params": "its numbers, written `$name` in conditions and actions",
    "overrides": "where params differ: by structure, strategy, underlying or market regime",
    "for": "how long the condition must hold without a break",
    "clear_when": "once fired it stays active until this is true",
    "cooldown": "how long it rests after it has won",
    "urgency": "`normal`, `high`, `immediate`, or conditions: `{high: dte <= 21d}`",
    "mode": "`live`; `shadow` decides and records, never acts and uses up no `once` or `cooldown`; `off`",
    "unknown": "what a condition that is unknown does: `hold` (default) nothing, or `fire`",
    "scope": "`position` (default) or `book`: judged once for the whole account",
    "examples": "facts on which it must fire or stay quiet; checked on every load",
}
TIER_KEYS = {
    "when": RULE_KEYS["when"],
    "do": RULE_KEYS["do"],
    "urgency": RULE_KEYS["urgency"],
    "once": "`true`: acts once per position",
}
MUTE_KEYS = {
    "rule": "the id of the rule",
    "on": "an underlying, a structure, a strategy or a position; `book` for a rule of the book",
    "until": "a day, to its end in New York, or a time with its zone",
    "reason": "why, for whoever wonders later",
}
TEST_KEYS = {
    "name": "what should happen",
    "every": "the time between two values of a series; 1m when left out",
    "position": "facts of the position; one value holds throughout",
    "series": "facts with one value per beat; the last one holds",
    "positions": "several positions with their facts, by name",
    "book": "facts of the book",
    "expect": "which rule wins when: `at 3m`, `always`, `otherwise`",
    "never": "rules that must not win at any beat",
}


def rules_schema() -> Schema:
    """The schema of a rules file."""
    listed = {"type": "array", "items": {"$ref": "#/definitions/rule"}, "minItems": 1, "maxItems": MAX_RULES}
    properties: dict[str, Schema] = {
        "version": {"const": 1, "default": 1},
        "extends": {"type": "string", "minLength": 1},
        "track": {
            "type": "object",
            "additionalProperties": {"type": "string", "pattern": r"^(max|min)\(.+\)$"},
        },
        "macros": {"type": "object", "additionalProperties": {"$ref": "#/definitions/condition"}},
        "rules": listed,
        "replace": listed,
        "append": listed,
        "remove": {"type": "array", "items": {"type": "string"}},
        "mutes": {"type": ["array", "null"], "items": _mapping(MUTE_KEYS, _mute(), list(MUTE_KEYS))},
    }
    schema = _mapping(FILE_KEYS, properties, [])
    schema["oneOf"] = [{"required": ["rules"]}, {"required": ["extends"]}]
    schema["definitions"] = {
        "condition": _condition(),
        "facts": {
            "type": "object",
            "properties": {fact.name: _fact(fact) for fact in CATALOGUE},
            "additionalProperties": {"type": ["number", "string", "null"], "description": "a tracked value"},
        },
        "params": {
            "type": "object",
            "propertyNames": {"pattern": _WORD},
            "additionalProperties": {"type": ["number", "string"]},
        },
        "action": _action(),
        "urgency": _urgency(),
        "tier": _mapping(TIER_KEYS, _tier(), ["when", "do"]),
        "rule": _rule(),
    }
    return {"$schema": DRAFT, "title": "rules of optiond", **schema}


def series_schema() -> Schema:
    """The schema of a `*_test.yaml` file."""
    facts: Schema = {
        "type": "object",
        "properties": {fact.name: _series(fact) for fact in CATALOGUE},
        "additionalProperties": False,
    }
    here = {"$ref": "#/definitions/facts"}
    properties: dict[str, Schema] = {
        "name": {"type": "string", "minLength": 1},
        "every": _duration(),
        "position": here,
        "series": here,
        "positions": {"type": "object", "additionalProperties": here, "minProperties": 1},
        "book": here,
        "expect": {
            "type": "object",
            "minProperties": 1,
            "properties": {
                "always": _told("at every beat", {"$ref": "#/definitions/wins"}),
                "otherwise": _told("at every beat that no `at` names", {"$ref": "#/definitions/wins"}),
            },
            "patternProperties": {r"^at\s+\S+$": {"$ref": "#/definitions/wins"}},
            "additionalProperties": False,
        },
        "never": {"type": ["string", "array"], "items": {"type": "string"}},
    }
    test = _mapping(TEST_KEYS, properties, ["name"])
    test["anyOf"] = [{"required": ["expect"]}, {"required": ["never"]}]
    keys = {
        "rules": "the rules file; when left out, the one beside this that has its name without _test",
        "tests": "what should happen",
    }
    tests: Schema = {"type": "array", "items": {"$ref": "#/definitions/test"}, "minItems": 1}
    schema = _mapping(keys, {"rules": {"type": "string"}, "tests": tests}, ["tests"])
    schema["definitions"] = {"facts": facts, "wins": _wins(), "test": test}
    return {"$schema": DRAFT, "title": "tests of the rules of optiond", **schema}


def as_json(schema: Schema) -> str:
    """The schema as a file has it, without the last line break."""
    return json.dumps(schema, indent=1, ensure_ascii=False)


def _told(description: str, schema: Schema) -> Schema:
    return (
        {"description": description, "allOf": [schema]}
        if "$ref" in schema
        else {"description": description, **schema}
    )


def _mapping(
    descriptions: Mapping[str, str], properties: Mapping[str, Schema], required: list[str]
) -> Schema:
    """An object with these keys and no others."""
    schema: Schema = {
        "type": "object",
        "properties": {key: _told(text, properties[key]) for key, text in descriptions.items()},
        "additionalProperties": False,
    }
    return schema | ({"required": required} if required else {})


def _compared(fact: Fact) -> str:
    """A condition that asks for the fact, to be completed by an editor."""
    if fact.unit is Unit.TEXT:
        return f"{fact.name} == '{fact.values[0] if fact.values else 'SPY'}'"
    return f"{fact.name} >= {_SAMPLES[fact.unit]}"


def _condition() -> Schema:
    several = {"type": "array", "items": {"$ref": "#/definitions/condition"}, "minItems": 1}
    return {
        "anyOf": [
            {"type": "string", "minLength": 1, "examples": [_compared(fact) for fact in CATALOGUE]},
            *[
                {
                    "type": "object",
                    "properties": {word: _told(said, several)},
                    "required": [word],
                    "additionalProperties": False,
                }
                for word, said in (("any", "one of these is enough"), ("all", "all of these"))
            ],
        ]
    }


def _rule() -> Schema:
    condition, duration = {"$ref": "#/definitions/condition"}, _duration()
    facts = {"$ref": "#/definitions/facts"}
    example = {"anyOf": [facts, {"type": "array", "items": facts}]}
    overrides = {name: _told(f"for {name.replace('_', ' ')} positions", _PARAMS) for name in STRUCTURES}
    overrides |= {name: _told(f"in a market that is {name.replace('_', ' ')}", _PARAMS) for name in REGIMES}
    schema = _mapping(
        RULE_KEYS,
        {
            "id": {"type": "string", "pattern": _WORD},
            "priority": {"type": "integer", "minimum": 1, "maximum": 999_999},
            **{key: value for key, value in _tier().items() if key != "once"},
            "tiers": {"type": "array", "items": {"$ref": "#/definitions/tier"}, "minItems": 1},
            "params": _PARAMS,
            "overrides": {"type": "object", "properties": overrides, "additionalProperties": _PARAMS},
            "for": duration,
            "clear_when": condition,
            "cooldown": duration,
            # An editor with the words of YAML 1.1 reads `off` as false.
            "mode": {"enum": [*MODES, False], "default": "live"},
            "unknown": {"enum": ["hold", "fire"], "default": "hold"},
            "scope": {"enum": ["position", "book"], "default": "position"},
            "examples": {
                "type": "object",
                "properties": {
                    "fires": _told("facts on which it must fire", example),
                    "quiet": _told("facts on which it must not fire", example),
                },
                "additionalProperties": False,
            },
        },
        ["id", "priority"],
    )
    schema["oneOf"] = [{"required": ["when", "do"]}, {"required": ["tiers"]}]
    return schema


_PARAMS: Schema = {"$ref": "#/definitions/params"}


def _tier() -> dict[str, Schema]:
    return {
        "when": {"$ref": "#/definitions/condition"},
        "do": {"$ref": "#/definitions/action"},
        "urgency": {"$ref": "#/definitions/urgency"},
        "once": {"type": "boolean"},
    }


def _mute() -> dict[str, Schema]:
    return {key: {"type": "string", "minLength": 1} for key in MUTE_KEYS}


def _duration() -> Schema:
    return {"anyOf": [{"type": "string", "pattern": rf"^\+?({_NUMBER}[smhd]|0)$"}, {"const": 0}]}


def _action() -> Schema:
    parameter: Schema = {"type": "string", "pattern": r"^\$[a-z][a-z0-9_]*$"}
    days: Schema = {"type": "string", "pattern": r"^([1-9]\d{0,3}d|\$[a-z][a-z0-9_]*)$"}
    arguments: dict[str, tuple[str, Schema]] = {
        "close": ("`mid` walks a limit from the mid, `market` crosses", {"enum": ["mid", "market"]}),
        "reduce": (
            "`half`, or so many lots",
            {"anyOf": [{"enum": ["half"]}, {"type": "integer", "minimum": 1}, parameter]},
        ),
        "roll": (
            "closes and opens the same structure further out",
            _mapping({"dte": "days to the new expiry: 45d"}, {"dte": days}, ["dte"]),
        ),
        "block_entries": ("opens nothing, and reduces the largest position", {"enum": ["reduce_largest"]}),
    }
    return {
        "anyOf": [
            {"enum": ["close", "block_entries"]},
            *[_mapping({word: arguments[word][0]}, {word: arguments[word][1]}, [word]) for word in ACTIONS],
        ]
    }


def _urgency() -> Schema:
    condition = {"$ref": "#/definitions/condition"}
    return {
        "anyOf": [
            {"enum": list(URGENCIES)},
            {
                "type": "object",
                "properties": {word: _told(f"when it is {word}", condition) for word in URGENCIES},
                "additionalProperties": False,
            },
        ]
    }


def _described(fact: Fact) -> str:
    return f"{fact.meaning} ({HOW_TO_WRITE[fact.unit]}). Computed: {fact.computed}."


def _fact(fact: Fact) -> Schema:
    if fact.unit is Unit.TEXT:
        known: Schema = {"enum": [*fact.values, None]} if fact.values else {"type": ["string", "null"]}
        return {"description": _described(fact), **known}
    text: Schema = {"type": "string", "pattern": f"^{_TEXT_OF[fact.unit]}$"}
    return {
        "description": _described(fact),
        "anyOf": [text, _PLAIN.get(fact.unit, {"type": "number"}), _UNKNOWN],
    }


def _series(fact: Fact) -> Schema:
    word = "|".join(fact.values) if fact.values else r"'[^']*'|[^\s*,]+"
    one = rf"(({word if fact.unit is Unit.TEXT else _TEXT_OF[fact.unit]}|~|_|null)(\*\d+)?)"
    text: Schema = {"type": "string", "pattern": rf"^\s*{one}(\s+{one})*\s*$"}
    plain = [] if fact.unit is Unit.TEXT else [_PLAIN.get(fact.unit, {"type": "number"})]
    choices = [{"enum": list(fact.values)}] if fact.values else []
    return {"description": _described(fact), "anyOf": [*choices, text, *plain, _UNKNOWN]}


def _wins() -> Schema:
    properties: dict[str, Schema] = {
        "rule": {"type": "string"},
        "action": {"type": ["string", "object"]},
        "urgency": {"enum": list(URGENCIES)},
    }
    said = dict(zip(WANTED_KEYS, ("the rule that wins", "its action", "how urgent it is"), strict=True))
    wanted: Schema = {"anyOf": [{"type": "string"}, _mapping(said, properties, ["rule"])]}
    several: Schema = {"type": "array", "items": wanted, "minItems": 1}
    by_position: Schema = {
        "type": "object",
        "propertyNames": {"not": {"enum": list(WANTED_KEYS)}},
        "additionalProperties": {"anyOf": [wanted, several]},
    }
    return {"anyOf": [wanted, several, by_position]}
