"""What overrides and mutes are about: structures, regimes, underlyings and strategies, by their names.

Any word may be the id of a strategy, so only what is nearly the name of a structure or a regime is told.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from options import Structure
from rules.facts import REGIMES

STRUCTURES = tuple(structure.value for structure in Structure)
STRUCTURES_AND_REGIMES = (*STRUCTURES, *REGIMES)

_SYMBOL = re.compile(r"[A-Z][A-Z0-9. ]*")


def meant(target: str, known: Sequence[str]) -> str | None:
    """The known name that a target is a misspelling of; None when it is one, or something else."""
    if target in known or _SYMBOL.fullmatch(target):
        return None
    plain = re.sub(r"[\s_-]+", "_", target.strip().lower())
    if plain in known:
        return plain
    # "iron_condor_iwm" and "iron_condor2" are strategies that are named after a structure.
    if any(re.search(rf"(^|_){word}(_|\d|$)", plain) for word in known):
        return None
    near = get_close_matches(plain, known, n=1, cutoff=0.9)
    return near[0] if near else None
