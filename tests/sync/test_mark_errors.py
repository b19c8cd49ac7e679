"""How wrong the model was is measured at every visit, and only there."""

from datetime import timedelta

import pytest

from lake.schemas import TableSchema
from sync.mark_errors import MARK_ERRORS_TABLE, ErrorFigures, MarkErrors, Visit
from sync.tables import LAKE_TABLES, snapshots
from tests.sync.test_marks import NOW, PUT, Market, worth


def test_a_visit_is_measured_against_the_mark_at_the_price_of_its_moment() -> None:
    market, later = Market(), NOW + timedelta(minutes=5)
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    assert market.marks.errors.figures() == ErrorFigures(0)
    expected = worth(PUT, 255.0, later)
    market.share(255.0, later)
    market.say(1, expected["price"] + 0.05, expected["price"] + 0.15, later, delta=expected["delta"] - 0.004)
    market.marks.remark(later)
    market.marks.remark(later)
    row = market.marks.errors.take().row(0, named=True)
    assert row["mark"] == pytest.approx(expected["price"], abs=1e-3)
    assert row["mid"] == pytest.approx(expected["price"] + 0.1)
    assert row["error_ratio"] == pytest.approx(0.1 / row["mid"], abs=1e-3)
    assert row["error_ticks"] == pytest.approx(10.0, abs=0.1)
    assert row["model_delta"] - row["delta"] == pytest.approx(0.004, abs=1e-4)
    assert row["vol_age_s"] == 300.0
    figures = market.marks.errors.figures()
    assert (figures.visits, figures.within) == (1, 0.0)
    assert figures.median_delta == pytest.approx(0.004, abs=1e-4)
    assert market.marks.errors.take().height == 0


def test_a_line_that_stays_open_is_no_visit() -> None:
    market = Market()
    market.share(260.0, NOW)
    for seconds in range(0, 60, 5):
        later = NOW + timedelta(seconds=seconds)
        market.say(1, 2.9, 3.1, later, delta=-0.2)
        market.marks.remark(later)
    assert market.marks.errors.figures().visits == 0


@pytest.mark.parametrize(
    ("mark", "mid", "within"),
    [(5.05, 5.0, True), (5.06, 5.0, False), (0.05, 0.04, True), (0.06, 0.04, False)],
)
def test_one_percent_or_one_tick_is_near_enough(mark: float, mid: float, within: bool) -> None:
    assert Visit(1, NOW, mark, mid, 0.01, 0.1, None, 0.2, 60.0).is_within is within


def test_medians_are_of_the_visits() -> None:
    errors = MarkErrors()
    errors.add(
        Visit(1, NOW, mark, 1.0, 0.01, 0.5, delta, 0.2, 60.0)
        for mark, delta in ((1.005, None), (1.02, 0.48), (1.30, 0.47))
    )
    figures = errors.figures()
    assert figures.median_ratio == pytest.approx(0.02)
    assert figures.median_ticks == pytest.approx(2.0)
    assert figures.median_delta == pytest.approx(0.025)
    assert figures.within == pytest.approx(1 / 3)


def test_rows_fit_the_tables_of_the_lake() -> None:
    market = Market()
    market.share(260.0, NOW)
    market.visit(PUT, 260.0, NOW)
    frame = market.marks.frame(NOW, [PUT.con_id])
    assert frame["quote_state"].to_list() == ["modelled", "missing", "missing"]
    table: TableSchema = LAKE_TABLES["snapshots"]
    assert table.fit(snapshots(frame)).height == 3
    assert LAKE_TABLES["mark_errors"] is MARK_ERRORS_TABLE
