"""Every client's day: no field left over, none missing, all kinds of messages, and a page that says so."""

import asyncio

import pytest

from broker.gateway.protocol.layouts import FROM_CLIENT, FROM_GATEWAY
from tests.conformance.page import NEWER_ASKED, NEWER_TOLD, PAGE, refreshed
from tests.conformance.run import Run, play_all


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return asyncio.run(play_all())


def test_each_client_talks_at_its_newest_version(runs: list[Run]) -> None:
    assert {run.client: run.version for run in runs} == {"ib_async": 178, "ib_insync": 176, "ibapi": 157}


def test_every_decoder_used_every_field_and_missed_none(runs: list[Run]) -> None:
    assert [complaint for run in runs for complaint in run.complaints] == []


def test_every_message_in_either_direction_is_as_our_table_of_layouts_has_it(runs: list[Run]) -> None:
    assert [departure for run in runs for departure in run.departures] == []


def test_every_client_hears_every_kind_of_message_that_it_knows(runs: list[Run]) -> None:
    for run in runs:
        assert set(run.lengths) == set(FROM_GATEWAY) - NEWER_TOLD.get(run.client, set()), run.client


def test_every_client_asks_all_that_it_can(runs: list[Run]) -> None:
    for run in runs:
        assert run.asked == set(FROM_CLIENT) - NEWER_ASKED.get(run.client, set()), run.client


def test_the_page_says_what_the_run_found(runs: list[Run]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert refreshed(page, runs) == page, "run: python -m tests.conformance"
