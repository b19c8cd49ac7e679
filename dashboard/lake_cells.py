"""The lake in the health strip: what waits, how old the last flush is, its files, its upkeep."""

from dashboard import notation
from dashboard.control import LakeState, Upkeep

NAMES = ("Lake", "Flushed", "Lake files", "Upkeep")
OLD_FLUSH_S = 180.0

Cell = tuple[str, str, str]
"""Label, text and tone."""


def cells(lake: LakeState) -> list[Cell]:
    """A dash where an older daemon does not say."""
    waiting = f"seq {lake.seq:,} · {lake.unflushed_rows:,} unflushed"
    return [
        ("Lake", waiting, "bad" if lake.entries_stopped else "good"),
        ("Flushed", _flushed(lake), _flush_tone(lake)),
        ("Lake files", _files(lake), "calm" if lake.files is None else "good"),
        ("Upkeep", *_upkeep(lake.upkeep)),
    ]


def _flushed(lake: LakeState) -> str:
    age = notation.duration(lake.flush_age_s)
    return age if age == notation.DASH else f"{age} ago"


def _flush_tone(lake: LakeState) -> str:
    if lake.flush_age_s is None:
        return "calm"
    return "bad" if lake.flush_error else "good" if lake.flush_age_s <= OLD_FLUSH_S else "poor"


def _files(lake: LakeState) -> str:
    if not lake.files:
        return notation.DASH
    return f"{lake.files:,} · {(lake.small_files or 0) / lake.files:.0%} small"


def _upkeep(upkeep: Upkeep | None) -> tuple[str, str]:
    if upkeep is None:
        return notation.DASH, "calm"
    if upkeep.running:
        step = upkeep.step
        return f"{step.done / step.total:.0%} {step.table}" if step and step.total else "begins", "good"
    if upkeep.outcome and upkeep.outcome.error:
        return "failed", "bad"
    return notation.moment(upkeep.last) if upkeep.last else "not yet", "good" if upkeep.last else "calm"
