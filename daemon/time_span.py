"""A span of time as people write it on a command line."""

import argparse
import re
from datetime import timedelta

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(days=7)}


def time_span(text: str) -> timedelta:
    """`90d`, `12h`, `30m` or `2w`. Raises ArgumentTypeError for anything else."""
    found = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no span of time: write 90d, 12h, 30m or 2w")
    return int(found[1]) * _UNITS[found[2]]
