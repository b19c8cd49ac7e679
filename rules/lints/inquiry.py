"""What is found, and the questions that find it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rules.expression import Literal, Name, Node, walk
from rules.lints.formula import Claim, Facts, Want
from rules.lints.search import Answer, Question, answer
from rules.problem import Mark
from rules.rulebook import Rule, Rulebook, Tier, Value

_STEPS_IN_ALL = 200_000


@dataclass(frozen=True, slots=True)
class Lint:
    """Something in a sound rules file that is hardly meant so.

    `kind`: its name in the table of docs/rules.md. `values`: what proves it, in words; `proof`: the same as
    values of facts in base units (None = unknown), or as the bounds that clash. `text`: all of it as `check`
    prints it, with the line and a caret.
    """

    path: str
    line: int
    column: int
    kind: str
    message: str
    values: str
    proof: Mapping[str, Value]
    text: str = ""


@dataclass(slots=True)
class Inquiry:
    """Asks about one rulebook; after so many steps in all, every answer is open."""

    book: Rulebook
    steps: int = 0

    def ask(
        self,
        *claims: Claim,
        given: tuple[tuple[str, str], ...] = (),
        doubtful: frozenset[str] = frozenset(),
        by_nature: bool = True,
    ) -> Facts | Answer:
        """Facts that make all claims true."""
        question = Question(claims, given, doubtful, by_nature)
        if self.steps > _STEPS_IN_ALL:
            return Answer.OPEN
        found, steps = answer(self.book, question)
        self.steps += steps
        return found

    def never(
        self,
        *claims: Claim,
        given: tuple[tuple[str, str], ...] = (),
        doubtful: frozenset[str] = frozenset(),
        unknown: bool = False,
    ) -> bool:
        """Whether it is proven that the claims are never all true. `unknown`: not even while facts are
        unknown, which only matters to claims that something is not true, or not false."""
        if unknown:
            doubtful = frozenset(names_of(claim.condition for claim in claims))
        return self.ask(*claims, given=given, doubtful=doubtful) is Answer.IMPOSSIBLE

    def lint(
        self, kind: str, mark: Mark, message: str, values: str, proof: Mapping[str, Value] | None = None
    ) -> Lint:
        return Lint(self.book.path, mark.line, mark.column, kind, message, values, proof or {})


def met(rule: Rule, condition: Node) -> Claim:
    """The condition lets the rule fire."""
    return Claim(rule, condition, Want.NOT_FALSE if rule.fires_when_unknown else Want.TRUE)


def unmet(rule: Rule, condition: Node) -> Claim:
    """The condition does not let the rule fire."""
    return Claim(rule, condition, Want.FALSE if rule.fires_when_unknown else Want.NOT_TRUE)


def is_true(rule: Rule, condition: Node) -> Claim:
    return Claim(rule, condition, Want.TRUE)


def tier_name(rule: Rule, tier: Tier) -> str:
    """The rule, or one of its tiers when it has several."""
    if len(rule.tiers) == 1:
        return rule.id
    return f"tier {rule.tiers.index(tier) + 1} of {rule.id}"


def names_of(conditions: Iterable[Node]) -> list[str]:
    """The facts in conditions, in the order of their appearance."""
    parts = (part for condition in conditions for part in walk(condition))
    return list(dict.fromkeys(part.name for part in parts if isinstance(part, Name)))


def equal_to(name: str, value: float, like: Node) -> tuple[Node, Node]:
    """A fact and a number as nodes."""
    return Name(name, like.source), Literal(value, None, like.source)
