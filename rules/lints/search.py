"""Can it be? A search for facts that make claims true, or the certainty that there are none.

`Answer.IMPOSSIBLE` is a proof: every case was narrowed to nothing. Facts that are found were tried with
the evaluator of the rules itself. What a bounded search cannot settle is `Answer.OPEN`: nothing is said of
it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from options import Structure
from rules.expression import Arithmetic, Call, Literal, Name, Negative, Node, Parameter, Source, walk
from rules.facts import NEVER_KNOWN, ZERO_OF_STOCK, Unit
from rules.lints.box import LARGEST, Box, World
from rules.lints.formula import (
    And,
    Choice,
    Claim,
    Facts,
    Formula,
    Holds,
    Known,
    NotFinite,
    Or,
    Want,
    bound,
    choices_of,
    formula,
)
from rules.lints.intervals import Interval
from rules.lints.order import bases, contradicts
from rules.lints.witnesses import Witnesses
from rules.problem import Mark
from rules.rulebook import Rulebook, Tracked
from rules.scalar import all_of, any_of

_STEPS = 6_000
_SPLITS = 7


class Answer(Enum):
    IMPOSSIBLE = "impossible"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Question:
    """Facts in `world` are looked for that make all claims true.

    `given`: texts that are known, such as ("structure", "iron_condor"). `by_nature`: whether structures lack
    the facts that are never known for them.
    """

    claims: tuple[Claim, ...]
    given: tuple[tuple[str, str], ...] = ()
    doubtful: frozenset[str] = frozenset()
    by_nature: bool = True


class OutOfSteps(Exception):
    """The search has taken as long as it may."""


def answer(book: Rulebook, question: Question) -> tuple[Facts | Answer, int]:
    """Facts that make all claims true, the proof that there are none, or neither; and the steps it took."""
    search = Search(book, question)
    return search.answer(), search.steps


@dataclass(slots=True)
class _State:
    """What is still to be looked at: formulas, choices between some, and comparisons that hold."""

    box: Box
    todo: list[Formula]
    either: list[Or] = field(default_factory=list)
    atoms: list[Holds] = field(default_factory=list)
    infinite: list[Node] = field(default_factory=list)

    def copy(self, *more: Formula) -> "_State":
        return _State(
            self.box.copy(), [*more, *self.todo], list(self.either), list(self.atoms), list(self.infinite)
        )


class Search:
    """The search for one answer."""

    def __init__(self, book: Rulebook, question: Question) -> None:
        self._given = dict(question.given)
        choices: dict[str, Choice] = {}
        conditions: list[tuple[Node, Want]] = []
        for claim in question.claims:
            if claim.rule is not None:
                choices |= choices_of(claim.rule)
            conditions.append((bound(claim.condition, claim.rule), claim.want))
        named = [part for node, _ in conditions for part in walk(node)]
        used = {part.name for part in named if isinstance(part, Parameter)}
        choices = {name: choice for name, choice in choices.items() if name in used}
        self._names = dict.fromkeys(part.name for part in named if isinstance(part, Name))
        self._names |= dict.fromkeys(self._given)
        self._tracked = {one.name: one for one in book.tracked if one.name in self._names}
        self._world = World(
            choices,
            {one.name: one for one in book.tracked},
            self._doubtful(question.doubtful),
            NEVER_KNOWN if question.by_nature else {},
        )
        self._start = [formula(node, want, choices) for node, want in conditions]
        self._start += [part for one in self._tracked.values() for part in self._relation(one)]
        self._start += self._of_stock()
        for fact, _, _ in (case for choice in choices.values() for case in choice.cases):
            self._names[fact] = None
        # Long conditions cost more at every step, and to begin with.
        self._weight = 8 + len(named) // 4
        self.steps = len(named)
        self._witnesses = Witnesses(
            question.claims, tuple(self._tracked.values()), tuple(self._names), self._count
        )

    def _doubtful(self, named: frozenset[str]) -> frozenset[str]:
        """A tracked value is unknown when what is tracked always was."""
        inside = (part for one in self._tracked.values() if one.name in named for part in walk(one.node))
        return named | {part.name for part in inside if isinstance(part, Name)}

    def _relation(self, one: Tracked) -> list[Formula]:
        """The highest so far is at least what is now, and known when that is."""
        name = Name(one.name, one.node.source)
        inside = [part.name for part in walk(one.node) if isinstance(part, Name)]
        self._names |= dict.fromkeys(inside)
        low, high = (one.node, name) if one.function == "max" else (name, one.node)
        missing: list[Formula] = [Known(other, False) for other in inside]
        missing.append(NotFinite(one.node))
        return [Or((Holds("<=", low, high, False), *missing))]

    def _of_stock(self) -> list[Formula]:
        """Shares have a delta and no other Greek."""
        if "structure" not in self._names:
            return []
        made: list[Formula] = []
        for name in sorted(ZERO_OF_STOCK.intersection(self._names)):
            nowhere = Source(Mark(1, 1), name)
            structure, greek = Name("structure", nowhere), Name(name, nowhere)
            stock = Literal(Structure.STOCK.value, Unit.TEXT, nowhere)
            cases = (
                Holds("!=", structure, stock, True),
                Holds("==", greek, _zero(greek), False),
                Known("structure", False),
                Known(name, False),
            )
            made.append(Or(cases))
        return made

    def answer(self) -> Facts | Answer:
        box = Box(self._world)
        for name, word in self._given.items():
            if not box.know(name) or not box.narrow_text(name, box.text(name).only(frozenset({word}))):
                return Answer.IMPOSSIBLE
        try:
            return self._solved(_State(box, list(self._start)), _SPLITS)
        except OutOfSteps:
            return Answer.OPEN

    # Cases

    def _solved(self, state: _State, splits: int) -> Facts | Answer:
        if not self._settle(state):
            return Answer.IMPOSSIBLE
        if state.either:
            # In the order of the claims: what a rule does settles what those above it may still do.
            chosen = state.either.pop(0)
            return self._first((state.copy(part) for part in chosen.parts), splits)
        return self._leaf(state, splits)

    def _first(self, states: Iterable[_State], splits: int) -> Facts | Answer:
        """The facts of the first case that has some; impossible when all cases are."""
        result = Answer.IMPOSSIBLE
        for state in states:
            found = self._solved(state, splits)
            if not isinstance(found, Answer):
                return found
            if found is Answer.OPEN:
                result = found
        return result

    def _settle(self, state: _State) -> bool:
        """Work off everything that leaves no choice; False when nothing is possible."""
        box = state.box
        while state.todo:
            known = len(state.atoms)
            while state.todo:
                if not self._take(state, state.todo.pop(0)):
                    return False
            if not box.hold(state.atoms[:known], state.atoms[known:]) or not all(
                box.may_overflow(one) for one in state.infinite
            ):
                return False
            self._count(box)
            if not self._reduce(state):
                return False
        return True

    @staticmethod
    def _take(state: _State, one: Formula) -> bool:
        match one:
            case And(parts=parts):
                state.todo = [*parts, *state.todo]
            case Or():
                state.either.append(one)
            case Known(name=name, is_known=is_known):
                return state.box.know(name) if is_known else state.box.unknow(name)
            case NotFinite(value=value):
                state.infinite.append(value)
                return state.box.admit(value)
            case Holds():
                state.atoms.append(one)
                return all(state.box.know(name) for name in one.names)
        return True

    def _reduce(self, state: _State) -> bool:
        """Drop what is impossible from every choice; False when one has nothing left."""
        remaining: list[Or] = []
        for one in state.either:
            verdicts = [(part, _verdict(state.box, part)) for part in one.parts]
            if any(verdict for _, verdict in verdicts):
                continue
            parts = tuple(part for part, verdict in verdicts if verdict is None)
            if not parts:
                return False
            if len(parts) == 1:
                state.todo.append(parts[0])
            else:
                remaining.append(Or(parts))
        state.either = remaining
        return True

    def _count(self, box: Box) -> None:
        self.steps += box.steps + self._weight
        box.steps = 0
        if self.steps > _STEPS:
            raise OutOfSteps

    # What is left when no choice is

    def _leaf(self, state: _State, splits: int) -> Facts | Answer:
        box = state.box
        undecided = [atom for atom in state.atoms if box.decides(atom) is None]
        for name in (name for atom in undecided for name in atom.parameters):
            if len(set(box.values_of(name))) > 1:
                return self._by_choice(state, self._world.choices[name], splits)
        settled = [self._settled(state.box, atom) for atom in undecided]
        if contradicts(box, settled):
            return Answer.IMPOSSIBLE
        found = self._witnesses.facts(box, state.atoms if undecided or state.infinite else ())
        if found is not None:
            return found
        if not splits:
            return Answer.OPEN
        for base in bases(settled):
            inside = box.range_of(base)
            if inside.low < 0 < inside.high:
                zero = _zero(base)
                cases = (Holds("<", base, zero, False), Holds("<=", zero, base, False))
                return self._first((state.copy(case) for case in cases), splits - 1)
        return self._halved(state, undecided, splits)

    def _settled(self, box: Box, atom: Holds) -> Holds:
        """The comparison with parameters of which only one value is left as literals."""
        return replace(atom, left=_literal(box, atom.left), right=_literal(box, atom.right))

    def _by_choice(self, state: _State, choice: Choice, splits: int) -> Facts | Answer:
        """One case for each override that may apply; the one without them first, as people mean it."""
        rest = state.copy()
        overridden: list[_State] = []
        cases = [rest]
        for fact, key, _ in choice.cases:
            texts, word = rest.box.text(fact), frozenset({key})
            if rest.box.known.get(fact) is False or not texts.has(key):
                continue
            here = rest.copy()
            if here.box.know(fact) and here.box.narrow_text(fact, texts.only(word)):
                overridden.append(here)
            if not rest.box.narrow_text(fact, texts.without(word)):
                cases = []
                break
        return self._first((self._again(case) for case in [*cases, *overridden]), splits)

    @staticmethod
    def _again(state: _State) -> _State:
        """Look at the comparisons anew: a parameter has changed."""
        state.todo = [*state.atoms, *state.todo]
        state.atoms = []
        return state

    def _halved(self, state: _State, undecided: Sequence[Holds], splits: int) -> Facts | Answer:
        """Split the widest number in two, at zero first."""
        box = state.box
        names = dict.fromkeys(name for atom in undecided if not atom.text for name in atom.names)
        wide = [name for name in names if box.number(name).low < box.number(name).high]
        if not wide:
            return Answer.OPEN

        def halves(name: str) -> Iterator[_State]:
            inside = box.number(name)
            middle = 0.0 if inside.low < 0 < inside.high else inside.low / 2 + inside.high / 2
            for half in (Interval(inside.low, middle), Interval(middle, inside.high)):
                one = self._again(state.copy())
                if one.box.narrow_number(name, half):
                    yield one

        chosen = max(wide, key=lambda name: _width(box.number(name)))
        return self._first(halves(chosen), splits - 1)


def _verdict(box: Box, one: Formula) -> bool | None:
    """True when it holds in all of the box, False when nowhere, None when that is not known."""
    match one:
        case Known(name=name, is_known=is_known):
            settled = box.known.get(name)
            if settled is None:
                return None if is_known or box.can_be_unknown(name) else False
            return settled == is_known
        case Holds():
            if any(box.known.get(name) is False for name in one.names):
                return False
            decided = box.decides(one)
            return decided if not decided or all(box.known.get(name) for name in one.names) else None
        case NotFinite(value=value):
            return None if box.may_overflow(value) else False
        case And(parts=parts):
            return all_of([_verdict(box, part) for part in parts])
    return any_of([_verdict(box, part) for part in one.parts])


def _width(interval: Interval) -> float:
    return min(interval.high - interval.low, 2 * LARGEST)


def _zero(like: Node) -> Literal:
    return Literal(0.0, None, like.source)


def _literal(box: Box, node: Node) -> Node:
    """The node with those parameters as literals that have a single value left."""
    match node:
        case Parameter(name=name):
            values = set(box.values_of(name))
            return Literal(values.pop(), None, node.source) if len(values) == 1 else node
        case Negative(operand=operand):
            return replace(node, operand=_literal(box, operand))
        case Arithmetic(left=left, right=right):
            return replace(node, left=_literal(box, left), right=_literal(box, right))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(_literal(box, part) for part in arguments))
    return node
