"""Contracts whose live quotes a decision waits for: a modelled price is good enough to look, not to act."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from options import ConId

LASTS = timedelta(seconds=10)
"""How long lines are kept for a decision that nobody asks for any more."""
TURN = timedelta(seconds=15)
"""How long a position that does not become live keeps others waiting for its lines."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """`given`: since when it has its lines, None: not yet."""

    con_ids: tuple[ConId, ...]
    at: datetime
    given: datetime | None = None


class Confirmations:
    """Positions to be acted on whose legs are not all quoted live, in the order in which they get lines."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, position: str, con_ids: Sequence[ConId], now: datetime) -> bool:
        """Want lines for all legs of a position; whether that is new. It holds for `LASTS`."""
        known = self._asked.get(position)
        is_new = known is None or now - known.at >= LASTS
        if known is None or is_new:
            self._asked.pop(position, None)
            known = _Asked(tuple(con_ids), now)
        self._asked[position] = replace(known, con_ids=tuple(con_ids), at=now)
        return is_new

    def wanted(self, most: int, now: datetime) -> list[ConId]:
        """The contracts that need a line now, at most about so many.

        All legs of a position or none: halves of many would keep each other from ever being live. The first
        always gets its lines. One that is not live after its `TURN` lets the others go first.
        """
        self._asked = {name: asked for name, asked in self._asked.items() if now - asked.at < LASTS}
        over = [name for name, asked in self._asked.items() if asked.given and now - asked.given >= TURN]
        for name in over:
            self._asked[name] = replace(self._asked.pop(name), given=None)
        found: dict[ConId, None] = {}
        for name, asked in self._asked.items():
            with_it = found | dict.fromkeys(asked.con_ids)
            if found and len(with_it) > most:
                break
            found = with_it
            if asked.given is None:
                self._asked[name] = replace(asked, given=now)
        return list(found)
