"""What stands under `mutes:`, read into Mutes."""

import re
from collections.abc import Collection
from collections.abc import Mapping as ByName
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from options import NEW_YORK
from rules import source
from rules.mutes import ON_BOOK
from rules.problem import Problems, did_you_mean
from rules.rulebook import Mute, Rule
from rules.source import Mapping, Scalar, Sequence, check_keys
from rules.targets import STRUCTURES, meant

MAX_MUTES = 200

_KEYS = ("rule", "on", "until", "reason")
_SHAPE = "{rule: take_profit, on: IWM, until: 2026-03-20, reason: earnings}"
_MISSING = {
    "rule": "a mute needs the id of a rule: add `rule: take_profit`",
    "on": "a mute needs what it is about: add `on: IWM` (an underlying, a structure, a strategy, a position)",
    "until": "a mute needs an end: add `until: 2026-03-20` (to the end of that day in New York)",
    "reason": "a mute needs a reason, for whoever wonders later: add `reason: earnings`",
}
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class MuteReader:
    """Reads the mutes of one file. `rules`: those that it may name; `wrong`: those that are not sound."""

    rules: ByName[str, Rule]
    wrong: Collection[str]
    problems: Problems

    def mutes(self, node: source.Node | None) -> list[Mute]:
        """All that are sound; an empty value is no mutes."""
        if node is None or (isinstance(node, Scalar) and node.text in ("", "null", "~")):
            return []
        if not isinstance(node, Sequence):
            self.problems.add(node.mark, f"mutes is a list: write - {_SHAPE}")
            return []
        if len(node.items) > MAX_MUTES:
            said = f"more than {MAX_MUTES} mutes: remove those that have ended"
            self.problems.add(node.items[MAX_MUTES].mark, said)
        return [mute for item in node.items[:MAX_MUTES] if (mute := self._mute(item))]

    def _mute(self, node: source.Node) -> Mute | None:
        if not isinstance(node, Mapping):
            self.problems.add(node.mark, f"a mute is a mapping: write {_SHAPE}")
            return None
        check_keys(node, _KEYS, "a mute", self.problems)
        rule, on, until, reason = (self._word(node, key) for key in _KEYS)
        ends = self._until(until) if until else None
        if rule and rule.text not in self.rules:
            known = {*self.rules, *self.wrong}
            if rule.text not in known:
                self.problems.add(rule.mark, f"unknown rule {rule.text}: {did_you_mean(rule.text, known)}")
        elif rule and on:
            self._check_target(on, self.rules[rule.text])
        if reason and len(reason.text) > _MAX_REASON:
            self.problems.add(reason.mark, f"a reason has at most {_MAX_REASON} characters: shorten it")
        if not (rule and on and reason and ends):
            return None
        return Mute(rule.text, on.text, ends, " ".join(reason.text.split()), node.mark, self.problems.path)

    def _word(self, node: Mapping, key: str) -> Scalar | None:
        value = node.get(key)
        if isinstance(value, Scalar) and value.text.strip():
            return value
        self.problems.add((value or node).mark, _MISSING[key])
        return None

    def _check_target(self, on: Scalar, rule: Rule) -> None:
        if rule.scope == "book" and on.text != ON_BOOK:
            self.problems.add(on.mark, f"{rule.id} is a rule of the book: write `on: {ON_BOOK}`")
        elif rule.scope != "book" and on.text == ON_BOOK:
            said = f"{rule.id} is about positions, not the book: name an underlying, a structure, a strategy"
            self.problems.add(on.mark, f"{said} or a position, or set `mode: shadow` in the rule")
        elif hint := meant(on.text, STRUCTURES):
            self.problems.add(on.mark, f"unknown structure {on.text}: did you mean {hint}?")

    def _until(self, value: Scalar) -> datetime | None:
        try:
            ends = read_until(value.text)
        except ValueError as error:
            self.problems.add(value.mark, str(error))
            return None
        return ends


def read_until(text: str) -> datetime:
    """The end of a mute, in UTC: of a day its end in New York, else a time with an offset or a zone.

    Raises ValueError that says what to write instead.
    """
    advice = "write a day (2026-03-20) or a time with its zone (2026-03-20 15:30 America/New_York)"
    text = text.strip()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = date.fromisoformat(text) + timedelta(days=1)
            return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
        words, _, zone = text.rpartition(" ")
        if re.match(r"[A-Za-z]", zone):
            return datetime.fromisoformat(words).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        ends = datetime.fromisoformat(text)
    except (ValueError, OverflowError, KeyError, OSError) as error:
        raise ValueError(f"until {text} is neither a day nor a time: {advice}") from error
    if ends.tzinfo is None:
        raise ValueError(f"until {text} is a time without its zone: {advice}")
    return ends.astimezone(UTC)
