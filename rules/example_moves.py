"""Examples of a rule that move with its parameter, so that a changed threshold keeps its examples."""

from collections.abc import Iterator

from rules.checking import fits, type_of
from rules.expression import Literal, parse_literal, written_like
from rules.facts import FACTS
from rules.loading import result_on
from rules.rulebook import Example, Rule, Value
from rules.source import Mapping, Node, Scalar, Sequence

Move = tuple[int, int, str]
"""Characters from and to, and what they become."""


def moved_examples(rule: Rule, entry: Mapping, old: Literal, new: Literal) -> list[Move]:
    """What to change in the examples of a rule (with its parameter's `new` value) that do not hold any more.

    In each of them one number of the parameter's unit moves as far as the parameter did, if that mends it;
    others are left as they are. `entry` is where the rule is written.
    """
    if not isinstance(old.value, float) or not isinstance(new.value, float):
        return []
    distance = new.value - old.value
    nodes = {node.mark: node for node in _example_nodes(entry.get("examples"))}
    moves = []
    for example in rule.examples:
        node = nodes.get(example.mark)
        if node is not None and not _holds(rule, example, {}):
            move = next(_mending(rule, example, node, new, distance), None)
            moves += [move] if move else []
    return moves


def _mending(rule: Rule, example: Example, node: Mapping, new: Literal, distance: float) -> Iterator[Move]:
    for name, (_, scalar) in node.items.items():
        value = example.facts.get(name)
        if not isinstance(scalar, Scalar) or not isinstance(value, float):
            continue
        unit = FACTS[name].unit if name in FACTS else None
        if unit is None or not fits(type_of(new), unit):
            continue
        written = written_like(scalar.text, value + distance)
        # It must hold as it will be read: what is written is rounded.
        if _holds(rule, example, {name: parse_literal(written, scalar.mark).value}):
            yield scalar.start, scalar.end, written


def _holds(rule: Rule, example: Example, changed: dict[str, Value]) -> bool:
    result = result_on(rule, {**example.facts, **changed})
    return (rule.fires_when_unknown if result is None else result) == example.fires


def _example_nodes(node: Node | None) -> Iterator[Mapping]:
    for _, body in node.items.values() if isinstance(node, Mapping) else ():
        for item in body.items if isinstance(body, Sequence) else [body]:
            if isinstance(item, Mapping):
                yield item
