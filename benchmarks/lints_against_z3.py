"""How much the lints' search decides of what z3 decides, and how long both take.

`python -m benchmarks.lints_against_z3` asks both every question that linting asks: of the shipped rules, the
cookbook, and random rulebooks. Needs z3-solver, which optiond itself does not.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import z3

import rules
from rules.expression import (
    All,
    AnyOf,
    Arithmetic,
    Call,
    Compare,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Parameter,
)
from rules.facts import FACTS, NEVER_KNOWN, ZERO_OF_STOCK, Unit
from rules.lints.box import LARGEST, is_whole
from rules.lints.formula import Want
from rules.lints.search import Answer, Question, answer
from rules.rulebook import Rule
from rules.scalar import OVERRIDE_FACTS
from tests.rules.lints.random_books import Writer, sixty_rules

HERE = Path(__file__).parents[1]
TIMEOUT_MS = 2_000
RANDOM_BOOKS = 150


class Z3:
    """One question for z3: reals for numbers, integers for texts and whole numbers, a flag for known."""

    def __init__(self, book: rules.Rulebook, question: Question) -> None:
        self.words: dict[str, int] = {}
        self.values: dict[str, Any] = {}
        self.known: dict[str, Any] = {}
        self.solver = z3.Solver()
        self.solver.set("timeout", TIMEOUT_MS)
        self.book, self.question = book, question
        for claim in question.claims:
            true, false = self.truth(claim.condition, claim.rule)
            self.solver.add(
                {
                    Want.TRUE: true,
                    Want.FALSE: false,
                    Want.NOT_TRUE: z3.Not(true),
                    Want.NOT_FALSE: z3.Not(false),
                }[claim.want]
            )
        for name, word in question.given:
            self.fact(name)
            self.solver.add(self.known[name], self.values[name] == self.word(word))
        for one in book.tracked:
            if one.name in self.values:
                value, fine = self.number(one.node, None)
                extreme = self.fact(one.name)[0]
                order = value <= extreme if one.function == "max" else value >= extreme
                self.solver.add(z3.Implies(fine, z3.And(self.known[one.name], order)))
        for name in list(self.values):
            self.limit(name)
        for name in ZERO_OF_STOCK & self.values.keys() if "structure" in self.values else ():
            is_stock = z3.And(self.known["structure"], self.values["structure"] == self.word("stock"))
            self.solver.add(z3.Implies(is_stock, self.values[name] == 0))

    def limit(self, name: str) -> None:
        """What the fact can be at all, and whether it can be unknown."""
        fact, value, known = FACTS.get(name), self.values[name], self.known[name]
        if fact is not None and fact.values:
            self.solver.add(z3.Or([value == self.word(word) for word in fact.values]))
        elif fact is None or fact.unit is not Unit.TEXT:
            low = -LARGEST if fact is None or fact.low is None else fact.low
            high = LARGEST if fact is None or fact.high is None else fact.high
            self.solver.add(value >= low, value <= high)
        question, tracked = self.question, {one.name for one in self.book.tracked}
        if name in question.doubtful or name == "strategy" or name in tracked:
            self.solver.add(z3.Implies(known, z3.Not(self.lacking(name))))
        else:
            self.solver.add(known == z3.Not(self.lacking(name)))

    def lacking(self, name: str) -> Any:
        if not self.question.by_nature or name not in NEVER_KNOWN:
            return z3.BoolVal(False)
        if "structure" not in self.values:
            self.fact("structure")
            self.limit("structure")
        structure = self.values["structure"]
        among = z3.Or([structure == self.word(str(word)) for word in NEVER_KNOWN[name]])
        return z3.And(self.known["structure"], among)

    def word(self, word: str) -> int:
        return self.words.setdefault(word, len(self.words))

    def fact(self, name: str) -> tuple[Any, Any]:
        if name not in self.values:
            whole = is_whole(name) or (name in FACTS and FACTS[name].unit is Unit.TEXT)
            self.values[name] = z3.Int(name) if whole else z3.Real(name)
            self.known[name] = z3.Bool(f"{name} is known")
        return self.values[name], self.known[name]

    def constant(self, value: float | str) -> Any:
        return self.word(value) if isinstance(value, str) else z3.RealVal(repr(value))

    def number(self, node: Node, rule: Rule | None) -> tuple[Any, Any]:
        """The value, and whether it is known and finite."""
        match node:
            case Literal(value=value):
                return self.constant(value), z3.BoolVal(True)
            case Name(name=name):
                return self.fact(name)
            case Parameter(name=name):
                assert rule is not None
                return self.parameter(name, rule), z3.BoolVal(True)
            case Negative(operand=operand):
                value, fine = self.number(operand, rule)
                return -value, fine
            case Arithmetic():
                return self.calculated(node, rule)
            case Call(function=function, arguments=arguments):
                parts = [self.number(argument, rule) for argument in arguments]
                fine = z3.And([part[1] for part in parts])
                if function == "abs":
                    value = parts[0][0]
                    return z3.If(value >= 0, value, -value), fine
                (one, _), (other, _) = parts
                smaller = one <= other
                return z3.If(smaller, one, other) if function == "min" else z3.If(smaller, other, one), fine
        raise TypeError

    def parameter(self, name: str, rule: Rule) -> Any:
        chosen = self.constant(rule.parameters[name].value)
        for fact in reversed(OVERRIDE_FACTS):
            for key, values in rule.overrides.items():
                if name in values:
                    value, known = self.fact(fact)
                    here = z3.And(known, value == self.word(key))
                    chosen = z3.If(here, self.constant(values[name].value), chosen)
        return chosen

    def calculated(self, node: Arithmetic, rule: Rule | None) -> tuple[Any, Any]:
        (one, fine), (other, fine2) = self.number(node.left, rule), self.number(node.right, rule)
        both = z3.And(fine, fine2)
        match node.operator:
            case "+":
                return one + other, both
            case "-":
                return one - other, both
            case "*":
                return one * other, both
        return z3.ToReal(one) / other if z3.is_int(one) else one / other, z3.And(both, other != 0)

    def truth(self, node: Node, rule: Rule | None) -> tuple[Any, Any]:
        """When it is true, and when false."""
        match node:
            case Not(operand=operand):
                true, false = self.truth(operand, rule)
                return false, true
            case All(parts=parts) | AnyOf(parts=parts):
                pairs = [self.truth(part, rule) for part in parts]
                trues, falses = [one for one, _ in pairs], [one for _, one in pairs]
                if isinstance(node, All):
                    return z3.And(trues), z3.Or(falses)
                return z3.Or(trues), z3.And(falses)
            case Compare(operator=operator, left=left, right=right):
                (one, fine), (other, fine2) = self.number(left, rule), self.number(right, rule)
                holds = {
                    "<": lambda: one < other,
                    "<=": lambda: one <= other,
                    ">": lambda: one > other,
                    ">=": lambda: one >= other,
                    "==": lambda: one == other,
                    "!=": lambda: one != other,
                }[operator]()
                return z3.And(fine, fine2, holds), z3.And(fine, fine2, z3.Not(holds))
        raise TypeError


def questions(book: rules.Rulebook) -> list[Question]:
    """All that linting asks of a rulebook."""
    asked: list[Question] = []

    def noted(book: rules.Rulebook, question: Question) -> Any:
        asked.append(question)
        return answer(book, question)

    import rules.lints.inquiry as room

    room.answer = noted  # type: ignore[attr-defined]
    try:
        rules.lint(book)
    finally:
        room.answer = answer  # type: ignore[attr-defined]
    return asked


def compared(name: str, books: Sequence[rules.Rulebook]) -> None:
    """Print how the two compare on these books."""
    counts: Counter[str] = Counter()
    took = {"search": 0.0, "z3": 0.0}
    for book in books:
        for question in questions(book):
            start = time.process_time()
            found, _ = answer(book, question)
            between = time.process_time()
            result = Z3(book, question).solver.check()
            took["search"] += between - start
            took["z3"] += time.process_time() - between
            counts[f"{found.value if isinstance(found, Answer) else 'found'}, z3 {result}"] += 1
    total = sum(counts.values())
    print(f"{name}: {len(books)} rulebooks, {total} questions")
    for which, seconds in took.items():
        print(f"  {which}: {1e3 * seconds / len(books):.0f} ms per rulebook")
    for what, count in counts.most_common():
        print(f"  {what}: {count} ({count / total:.2%})")


def main() -> int:
    """Print the comparison for what is shipped, for sixty rules, and for random rulebooks."""
    cookbook = sorted((HERE / "docs" / "cookbook").glob("*.yaml"))
    written = [path for path in cookbook if not path.stem.endswith("_test")]
    compared("shipped", [rules.load(path) for path in (rules.default_rules_path(), *written)])
    compared("sixty rules", [rules.parse(sixty_rules())])
    sizes = [(seed, random.Random(seed).randint(2, 6)) for seed in range(RANDOM_BOOKS)]
    compared("random", [rules.parse(Writer(seed).book(size)) for seed, size in sizes])
    return 0


if __name__ == "__main__":
    sys.exit(main())
