"""Our books against the broker's over a real socket: what differs is found, named, resolved, recorded."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.replay import replayed
from lake import LakeReader
from tests.daemon.books import Books, opened_books
from trading.replay import Outcome

pytestmark = [pytest.mark.slow]

CONDOR = {101: 2, 102: -2, 103: -2, 104: 2}


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with opened_books(tmp_path) as made:
        await made.live(10)
        assert made.held() == CONDOR
        yield made


async def test_a_second_comparison_changes_nothing(books: Books) -> None:
    before = {name: books.rows(name) for name in ("strategies", "fills", "intents")}
    answer = await books.engine.compare(books.pulse.now())
    assert (answer["found"], answer["unresolved"], answer["standing"]) == ([], [], [])
    await books.live(700)
    # The differences of the adoption are over, and that is all that the lake has heard since.
    assert {name: books.rows(name) for name in before} == before
    assert sorted(books.found()) == sorted(books.found("over"))
    assert {kind for kind, _ in books.found()} == {"missing_here"}


async def test_a_wing_that_somebody_sold_is_followed_by_a_covering_order(books: Books) -> None:
    await books.by_hand("SELL", 101, 1)
    await books.live(60, until=lambda: ("naked_short", "XYZ 2026-04-17 95 P") in books.found("over"))
    assert await books.holdings() == books.held() == {101: 1, 102: -1, 103: -2, 104: 2}
    (order,) = await books.orders()
    assert (order["status"], order["quantity"], order["legs"]) == (
        "Filled",
        1,
        [{"con_id": 102, "ratio": 1, "action": "BUY"}],
    )
    (decision,) = books.decisions()
    assert (decision["rule"], decision["kind"], decision["action"]) == ("cover", "decision", "close")
    assert decision["explanation"] == "sold and not covered: 1 x XYZ 2026-04-17 95 P"
    intents = books.rows("intents")
    assert intents[0]["decision"] == decision["decision"] and intents[0]["seq"] == decision["seq"]
    assert intents[-1]["state"] == "settled"
    alerts = {(row["severity"], row["kind"]) for row in books.rows("alerts")}
    assert ("critical", "naked_short") in alerts and ("warning", "unexpected_fill") in alerts
    assert books.engine.state.unresolved == ()


async def test_a_covering_decision_is_made_again_from_its_row_alone(books: Books) -> None:
    await books.by_hand("SELL", 101, 2)
    await books.live(60, until=lambda: not books.engine.state.to_cover and books.decisions())
    (row,) = books.decisions()
    (again,) = replayed(LakeReader.open(books.home), [row])
    assert again.outcome is Outcome.SAME, again.why
    state = json.loads(row["state"])
    other = {**row, "state": json.dumps({**state, "naked": {}})}
    (changed,) = replayed(LakeReader.open(books.home), [other])
    assert changed.outcome is Outcome.DIFFERENT


async def test_a_kill_between_finding_and_covering_forgets_nothing(books: Books) -> None:
    await books.by_hand("SELL", 101, 1)
    await books.live(60, until=lambda: ("naked_short", "XYZ 2026-04-17 95 P") in books.found())
    assert await books.orders() == [], "one picture proves nothing"
    await books.restart()
    await books.live(60, until=lambda: not books.engine.state.desk.open_intents and books.rows("intents"))
    (order,) = await books.orders()
    assert (order["status"], order["quantity"]) == ("Filled", 1)
    assert (await books.holdings())[102] == -1


async def test_a_short_that_somebody_sold_naked_is_left_to_him(books: Books) -> None:
    await books.by_hand("SELL", 105, 1)
    await books.live(60)
    assert await books.orders() == []
    assert ("naked_short", "XYZ 2026-04-17 85 P") in books.found()
    (veto,) = books.decisions()
    assert (veto["rule"], veto["kind"]) == ("cover", "veto")
    assert "left to him" in veto["reason"]
    (again,) = replayed(LakeReader.open(books.home), [veto])
    assert again.outcome is Outcome.SAME, again.why


async def test_holdings_that_the_broker_reports_wrongly_are_followed_and_followed_back(books: Books) -> None:
    await books.fault("wrong_position", con_id=104, quantity=5)
    await books.live(20)
    await books.engine.compare(books.pulse.now())
    assert books.held()[104] == 5
    await books.fault("wrong_position", con_id=104, quantity=5, on=False)
    await books.live(20)
    await books.engine.compare(books.pulse.now())
    assert books.held() == CONDOR
    assert await books.orders() == []


async def test_a_wrong_cost_is_taken_over(books: Books) -> None:
    await books.fault("wrong_cost", con_id=104, by_usd=5.0)
    answer = await books.engine.compare(books.pulse.now())
    assert [(each["kind"], each["subject"]) for each in answer["found"]] == [
        ("average_cost", "XYZ 2026-04-17 110 C")
    ]
    (again,) = [await books.engine.compare(books.pulse.now())]
    assert again["found"] == []


async def test_cash_that_no_execution_explains_is_told_once(books: Books) -> None:
    await books.live(300)
    await books.fault("wrong_account_value", key="TotalCashValue", value="1.00")
    await books.live(1300)
    (told,) = [row for row in books.rows("reconciliations") if row["kind"] == "account"][:1]
    assert told["subject"] == "cash" and "that no execution explains" in told["theirs"]
    assert books.found().count(("account", "cash")) == 1


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("duplicate_execution", {}),
        ("late_execution", {"delay_s": 30.0}),
        ("correction", {"delay_s": 20.0, "price_by_usd": 0.01}),
        ("commission", {"value": "lost"}),
        ("shuffled_fill", {"first": "commission"}),
    ],
)
async def test_executions_that_are_told_badly_count_once(
    books: Books, fault: str, arguments: dict[str, object]
) -> None:
    """The covering order is executed while the broker tells executions twice, late, corrected or in part."""
    await books.fault(fault, **arguments)
    await books.by_hand("SELL", 101, 1)
    await books.live(900)
    assert await books.holdings() == books.held()
    assert len(await books.orders()) == 1
    told = {e["exec_id"]: e for e in (await books.ask("executions"))["executions"] if not e["is_combo"]}
    ours = {f.execution.exec_id: f for f in books.engine.state.executions.fills}
    assert set(ours) <= set(told) and ours
    assert {key.rpartition(".")[0] for key in ours} == {key.rpartition(".")[0] for key in told}
    for exec_id, fill in ours.items():
        assert fill.execution.price == told[exec_id]["price"]
    assert not {"missing_fill", "account"} & {kind for kind, _ in books.found()}
    assert sorted(books.found()) == sorted(books.found("over"))


async def test_fills_while_the_link_was_down_are_found_by_the_comparison(books: Books) -> None:
    await books.fault("fill_while_away", seconds=5.0)
    await books.by_hand("SELL", 101, 1)
    await books.by_hand("BUY", 102, 1)
    await books.live(10)
    await books.connected()
    await books.live(60)
    assert await books.holdings() == books.held() == {101: 1, 102: -1, 103: -2, 104: 2}
    kinds = [kind for kind, _ in books.found()]
    assert kinds.count("unexpected_fill") == 2
    assert "naked_short" not in kinds
    assert await books.orders() == []


async def test_an_order_of_somebody_else_is_left_alone_and_told_once(books: Books) -> None:
    await books.fault("hold_fills")
    await books.by_hand("SELL", 101, 1)
    await books.engine.compare(books.pulse.now())
    await books.live(700)
    found = [subject for kind, subject in books.found() if kind == "unknown_order"]
    assert len(found) == 1
    assert [row["kind"] for row in books.rows("alerts")].count("unknown_order") == 1
