"""What is read of the past: an end counts with the money that it was restated to, and counts once."""

import polars as pl

from daemon.recorded_past import with_restated


def test_an_end_has_the_money_it_was_restated_to_and_its_own_moment() -> None:
    events = pl.DataFrame(
        [
            (1, "A", "reduced", 10.0),
            (2, "A", "closed", None),
            (3, "B", "rolled", 5.0),
            (4, "A", "restated", 30.0),
            (5, "A", "restated", 31.0),
        ],
        schema=["time", "position", "event", "realized_pnl_usd"],
        orient="row",
    )
    assert with_restated(events).rows() == [
        (1, "A", "reduced", 10.0),
        (2, "A", "closed", 31.0),
        (3, "B", "rolled", 5.0),
    ]
