"""Contracts without a line of their own are visited in turn: each within the stated time, none twice."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.events import QuoteChanged
from options import ConId
from sync.position_queue import MOST_ATTEMPTS, TELL_AFTER, PositionQueue
from sync.queue_worker import PATIENCE_S, VISITS_PER_S, QueueWorker, turn_s
from sync.tables import LAKE_TABLES

NOW = datetime(2026, 2, 3, 15, 0, tzinfo=UTC)
BEAT_S = 0.25
QUOTE = QuoteChanged(
    con_id=ConId(0), bid=1.0, ask=1.1, bid_size=5, ask_size=5, last=None, close=None, iv=0.2, delta=0.3,
    gamma=0.01, theta=-0.02, vega=0.1, underlying_price=100.0, quote_time=NOW, greeks_time=NOW, is_live=True,
)  # fmt: skip


def always(con_id: ConId) -> bool:
    return True


class Market:
    """A worker, and a broker that answers `after_s` after a line was opened; `silent` contracts never do."""

    def __init__(self, contracts: int, urgent: int = 0, lines: int = 10, after_s: float = 0.0) -> None:
        self.queue = PositionQueue()
        self.worker = QueueWorker(self.queue)
        self.waiting = {ConId(n): n <= urgent for n in range(1, contracts + 1)}
        self.silent: set[ConId] = set()
        self.answer = QUOTE
        self.lines, self.after_s, self.now = lines, after_s, NOW
        self.opened: dict[ConId, datetime] = {}
        self.visits: list[tuple[datetime, ConId]] = []
        self.most_open = 0
        self.rows: list[dict[str, object]] = []

    def beat(self, seconds: float = BEAT_S) -> None:
        self.now += timedelta(seconds=seconds)
        for con_id, since in self.opened.items():
            if con_id not in self.silent and self.now - since >= timedelta(seconds=self.after_s):
                self.worker.heard(replace(self.answer, con_id=con_id))
        self.worker.finish(always, self.now)
        self.worker.start(self.lines, self.now)
        for con_id in self.worker.visiting:
            if con_id not in self.opened:
                self.visits.append((self.now, con_id))
        self.opened = {con_id: self.opened.get(con_id, self.now) for con_id in self.worker.visiting}
        self.most_open = max(self.most_open, len(self.opened))
        if self.worker.is_round_due(self.now):
            self.worker.round(self.waiting, self.lines, always, self.now)
            self.rows += self.queue.take_changes()

    def live(self, seconds: float) -> None:
        for _ in range(round(seconds / BEAT_S)):
            self.beat()


@pytest.mark.parametrize(
    ("contracts", "urgent", "after_s", "bid"),
    [(300, 0, 0.0, 1.0), (300, 40, 0.0, 1.0), (120, 10, 2.0, 1.0), (60, 0, PATIENCE_S, None)],
)
def test_each_contract_is_visited_within_the_stated_time(
    contracts: int, urgent: int, after_s: float, bid: float | None
) -> None:
    """Also when answers take long, or are incomplete so that every visit takes all of its patience."""
    market = Market(contracts, urgent, lines=10, after_s=0.0 if bid is None else after_s)
    market.answer = replace(QUOTE, bid=bid)
    visit_s = after_s + 3 * BEAT_S
    within_s = turn_s(urgent, contracts - urgent, 10, visit_s)
    assert within_s is not None
    market.live(3 * within_s)
    assert market.most_open <= 10
    times: dict[ConId, list[datetime]] = {con_id: [NOW] for con_id in market.waiting}
    for at, con_id in market.visits:
        times[con_id].append(at)
    for con_id, seen in times.items():
        longest = max(
            (later - earlier).total_seconds()
            for earlier, later in zip(seen, [*seen[1:], market.now], strict=True)
        )
        assert longest <= within_s + BEAT_S, f"contract {con_id}"


def test_five_thousand_contracts_are_all_visited_in_less_than_nine_minutes() -> None:
    within_s = turn_s(0, 5000, 10, visit_s=3 * BEAT_S)
    assert within_s == 505.0
    market = Market(5000)
    market.live(within_s)
    assert len({con_id for _, con_id in market.visits}) == 5000


def test_urgent_contracts_are_visited_more_often_and_the_rest_all_the_same() -> None:
    market = Market(600, urgent=60)
    market.live(600)
    often = Counter(con_id for _, con_id in market.visits)
    urgent = sum(often[ConId(n)] for n in range(1, 61)) / 60
    rest = sum(often[ConId(n)] for n in range(61, 601)) / 540
    assert 3.0 < urgent / rest < 5.0
    assert min(often[con_id] for con_id in market.waiting) >= 2


def test_visits_leave_half_of_the_messages_to_others() -> None:
    market = Market(1000)
    market.live(20)
    assert len(market.visits) <= 20 * VISITS_PER_S + 10


def test_a_line_is_given_back_once_quote_and_greeks_were_there_on_a_beat() -> None:
    market = Market(1)
    market.beat()
    market.beat()
    assert market.worker.visiting == (1,)
    market.beat()
    assert market.worker.visiting == (1,), "the marks are made from live quotes on every beat"
    market.beat()
    assert market.worker.visiting == ()


def test_an_incomplete_answer_is_waited_for_and_then_taken_with_what_is_missing() -> None:
    market = Market(1)
    market.answer = replace(QUOTE, bid=None)
    market.live(PATIENCE_S)
    assert market.worker.visiting == (1,)
    market.live(1)
    assert market.worker.visiting == ()
    market.live(5)
    assert [(row["state"], row["attempts"], row["reason"]) for row in market.rows] == [
        ("waiting", 0, None),
        ("waiting", 0, "no bid"),
    ]


def test_silence_is_tried_again_with_growing_waits_and_then_parked_until_the_next_day() -> None:
    market = Market(1)
    market.silent = {ConId(1)}
    market.live(600)
    starts = [at for at, _ in market.visits]
    assert len(starts) == MOST_ATTEMPTS
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    for wait, least in zip(waits, (15, 30, 60, 120), strict=True):
        assert least <= wait <= least + PATIENCE_S + 6
    (parked,) = market.queue.parked
    assert parked.reason == "no answer within 3 s"
    assert parked.due == datetime(2026, 2, 4, 14, 30, tzinfo=UTC)
    assert market.rows[-1]["state"] == "parked"

    market.now = parked.due
    market.silent = set()
    market.live(20)
    assert market.queue.parked == ()
    assert len(market.visits) > MOST_ATTEMPTS


def test_a_parked_contract_is_tried_again_on_demand() -> None:
    market = Market(1)
    market.silent = {ConId(1)}
    market.live(600)
    market.silent = set()
    assert market.queue.retry([ConId(2)]) == 0
    assert market.queue.retry() == 1
    market.live(10)
    assert market.queue.parked == ()
    assert market.rows[-1]["state"] == "waiting"
    assert market.rows[-1]["visited"] is not None


def test_the_brokers_words_are_the_reason_of_a_parked_contract() -> None:
    market = Market(1)
    market.silent = {ConId(1)}
    for _ in range(2400):
        market.beat()
        market.worker.told(ConId(1), "No security definition has been found for the request")
    (parked,) = market.queue.parked
    assert parked.reason.startswith("No security definition")


def test_nobody_is_to_blame_while_his_underlying_is_not_quoted_and_others_come_first() -> None:
    queue = PositionQueue()
    worker = QueueWorker(queue)
    waiting = {ConId(n): False for n in range(1, 101)}
    now, visited = NOW, Counter[ConId]()

    def is_quoted(con_id: ConId) -> bool:
        return con_id > 50

    for _ in range(240):
        now += timedelta(seconds=BEAT_S)
        for con_id in worker.visiting:
            if is_quoted(con_id):
                worker.heard(replace(QUOTE, con_id=con_id))
        worker.finish(is_quoted, now)
        worker.start(10, now)
        visited.update(con_id for con_id in worker.visiting if is_quoted(con_id))
        if worker.is_round_due(now):
            worker.round(waiting, 10, is_quoted, now)
    assert queue.parked == ()
    quoted = [visited[ConId(n)] for n in range(51, 101)]
    assert min(quoted) >= 5, "those that cannot answer take no turn of theirs"


def test_outside_of_the_exchanges_hours_nobody_is_visited() -> None:
    market = Market(5)
    market.now = datetime(2026, 2, 3, 21, 30, tzinfo=UTC)
    market.live(20)
    assert market.visits == []
    assert market.worker.next_due(market.now) == datetime(2026, 2, 4, 14, 30, tzinfo=UTC)


def test_a_contract_that_got_no_line_is_put_back_without_blame() -> None:
    market = Market(1)
    market.silent = {ConId(1)}
    for _ in range(400):
        market.beat()
        market.worker.keep(())
    assert market.queue.parked == ()
    assert [row["attempts"] for row in market.rows] == [0]


def test_a_doubted_answer_is_looked_at_again_before_others_and_once() -> None:
    market = Market(300)
    doubted = {ConId(5)}
    finish = market.worker.finish
    market.worker.finish = lambda can, now: finish(can, now, doubted.__contains__)  # type: ignore[method-assign,assignment,misc]
    market.live(3)
    assert [con_id for _, con_id in market.visits].count(ConId(5)) == 1
    doubted.clear()
    market.live(57)
    times = [at for at, con_id in market.visits if con_id == 5]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert 6 <= waits[0] <= 15
    assert waits[1] >= 20, "and then it has its turn as all others"


def restored(rows: list[dict[str, object]]) -> PositionQueue:
    """The queue that a restart finds after these rows."""
    frame = pl.DataFrame(rows, schema=LAKE_TABLES["queue"].row, orient="row", strict=False)
    queue = PositionQueue()
    queue.restore(frame.unique("item", keep="last", maintain_order=True))
    return queue


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12))), max_size=12))
def test_what_is_recorded_gives_the_same_queue_again(days: list[tuple[set[int], set[int]]]) -> None:
    """After any history of contracts that come, go, answer and are silent: nothing lost, nothing doubled."""
    market = Market(0)
    for held, silent in days:
        market.waiting = {ConId(n): n % 3 == 0 for n in held}
        market.silent = {ConId(n) for n in silent}
        market.live(60)
    market.worker.round(market.waiting, 10, always, market.now)
    market.rows += market.queue.take_changes()
    again = restored(market.rows)
    assert len(again) == len(market.queue) == len(market.waiting)
    assert {item.con_id for item in again.parked} == {item.con_id for item in market.queue.parked}
    again.renew(market.waiting, market.now)
    assert again.take_changes() == [], "a restart records nothing anew"


def test_a_rotation_is_recorded_now_and_then_only() -> None:
    market = Market(50)
    market.live(TELL_AFTER.total_seconds() * 2)
    assert len(market.visits) > 2000
    assert len(market.rows) <= 50 * 4


def test_after_a_restart_the_longest_unvisited_come_first() -> None:
    market = Market(200)
    market.live(15)
    seen = {con_id for _, con_id in market.visits[:100]}
    market.rows += market.queue.take_changes()
    first = restored(market.rows).turns(40, always, market.now)
    assert not seen & set(first)


def test_one_that_jumped_and_is_bid_for_no_more_does_not_come_before_all_others() -> None:
    """Only a price can be looked at again."""
    market = Market(3, lines=2)
    market.answer = replace(QUOTE, bid=None)
    market.live(1.0)
    assert market.worker.visiting == (1, 2)
    over = market.now + timedelta(seconds=PATIENCE_S)
    market.worker.finish(always, over, is_doubted=always)
    assert market.queue.turns(1, always, over + timedelta(minutes=1)) == [3]
