"""How often small bars may be asked for, as Interactive Brokers documents it.

Of bars of 30 seconds or less: no identical request within 15 seconds, fewer than six for the same contract,
exchange and type of price within two, and at most 60 within ten minutes, where BID_ASK counts twice.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

TEN_MINUTES, IDENTICAL_WITHIN, SAME_WITHIN = (
    timedelta(minutes=10),
    timedelta(seconds=15),
    timedelta(seconds=2),
)
MOST_IN_TEN_MINUTES, MOST_OF_THE_SAME = 60, 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `source` names contract, exchange and type of price, `details` all the rest."""

    at: datetime
    source: tuple[object, ...]
    details: tuple[object, ...]
    weight: int = 1


@dataclass(slots=True)
class Pacing:
    """One client's requests of the last ten minutes of simulated time."""

    past: list[Asked] = field(default_factory=list)

    def admit(self, asked: Asked) -> bool:
        """Whether the request keeps to the limits; a refused one does not count."""
        self.past = [each for each in self.past if asked.at - each.at < TEN_MINUTES]
        same = [each for each in self.past if each.source == asked.source]
        identical = [e for e in same if e.details == asked.details and asked.at - e.at < IDENTICAL_WITHIN]
        hasty = [each for each in same if asked.at - each.at < SAME_WITHIN]
        total = sum(each.weight for each in self.past) + asked.weight
        if identical or len(hasty) >= MOST_OF_THE_SAME or total > MOST_IN_TEN_MINUTES:
            return False
        self.past.append(asked)
        return True
