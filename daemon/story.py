"""The story of one decision, intent or position, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.reading import BOOK, new_york


def tell(story: Mapping[str, Any]) -> Iterator[str]:
    """Each decision with the sub-conditions of its rule, then everything that followed, line by line."""
    for decision in story["decisions"]:
        yield f"{new_york(decision['time'])} New York"
        yield f"{decision['id']}: {decision['kind']} by rule {decision['priority']} {decision['rule']}"
        yield f"  {decision['action']} {decision['position'] or BOOK}, {decision['urgency']}"
        if decision["reason"]:
            yield f"  {decision['reason']}"
        yield f"  rules revision {decision['rules_revision'][:12]}, fired: {', '.join(decision['fired'])}"
        if decision["unknown"]:
            yield f"  could not be judged: {', '.join(decision['unknown'])}"
        yield from (f"  {line}" for line in (decision["explanation"] or "").splitlines())
        yield ""
    yield "what followed, in New York time:"
    yield from (f"  {new_york(line['time'])}  {line['text']}" for line in story["story"])
    if story["decisions"]:
        yield ""
        yield f"to decide it again: optiond replay {story['decisions'][-1]['id']}"
