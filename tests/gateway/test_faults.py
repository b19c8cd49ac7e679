"""The catalogue: what may be given, what is active, how it ends, and that nothing in it is unproven."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.gateway.errors import GatewayError
from broker.gateway.faults.catalogue import CATALOGUE
from broker.gateway.faults.fault import accepted, read

HERE = Path(__file__).parent


def test_every_fault_has_a_test_of_what_the_client_suffers():
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_faults*.py"))
    proven = re.findall(r"^@pytest\.mark\.fault\(\"(\w+)\"\)$", tests, re.MULTILINE)
    assert set(proven) == set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_fault_says_what_it_does_and_what_it_takes(name):
    fault = CATALOGUE[name]
    assert fault.name == name
    assert all(text.endswith((".", ".)")) for text in (fault.wire, fault.suffers))
    assert fault.source
    assert set(fault.targets) <= {each.name for each in accepted(fault)}
    assert all(each.meaning for each in accepted(fault))


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("dorp", {}, "no fault 'dorp': did you mean drop? the command faults lists them all"),
        ("zz", {}, "no fault 'zz': the command faults lists them all"),
        ("drop", {"hwo": "fin"}, "fault drop has no parameter 'hwo': it takes client, how, "),
        ("drop", {"how": "soft"}, "fault drop: parameter how is 'soft' and should be fin or rst or torn"),
        ("drop", {"client": -1}, "fault drop: parameter client is -1 and should be a whole number from 0"),
        (
            "drop",
            {"client": True},
            "fault drop: parameter client is True and should be a whole number from 0",
        ),
        ("drop", {"handled": 1}, "fault drop: parameter handled is 1 and should be true or false"),
        ("delay", {"delay_s": "2"}, "fault delay: parameter delay_s is '2' and should be a number from 0"),
        ("delay", {"delay_s": float("nan")}, "parameter delay_s is nan and should be a number from 0"),
        ("no_quote", {}, "fault no_quote: parameter con_id is missing: give the contract's id"),
        ("connectivity", {"code": 1103}, "parameter code is 1103 and should be 1100 or 1101 or 1102 or 2110"),
        ("reject", {"times": 0}, "fault reject: parameter times is 0 and should be a whole number from 1"),
        ("reject", {"reason": None}, "fault reject: parameter reason is None and should be text"),
        ("restart", {"on": False}, "fault restart has no parameter 'on': it takes seconds, lost_s"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name_parameter_and_allowed_values(
    script, name, given, complaint
):
    reply = await script.ask("fault", name=name, **given)
    assert complaint in reply["error"]
    assert (await script.tell("faults"))["active"] == []


def test_defaults_are_values_that_may_be_given():
    for fault in CATALOGUE.values():
        for each in accepted(fault):
            if not each.required:
                assert each.parse(each.shown_default) == each.default


def test_a_fault_without_its_parameters_is_an_error_of_the_gateway():
    with pytest.raises(GatewayError, match="wrong_cost: parameter con_id is missing"):
        read(CATALOGUE["wrong_cost"], {})


async def test_the_control_port_lists_the_catalogue_and_what_is_active(script, connect):
    async with connect(script) as ib:
        await script.inflict("unanswered", request="current_time", times=3)
        await script.inflict("stale", seconds=30)
        for _ in range(2):
            ib.client.reqCurrentTime()
        await script.step(10)
        listed = await script.tell("faults")
        assert [fault["name"] for fault in listed["catalogue"]] == list(CATALOGUE)
        assert listed["catalogue"][0]["parameters"][1] == {
            "name": "how",
            "takes": "fin or rst or torn",
            "meaning": "how the connection ends",
            "default": "fin",
        }
        lost, stale = listed["active"]
        assert (lost["fault"], lost["request"], lost["applied"], lost["left"]) == (
            "unanswered",
            "current_time",
            2,
            1,
        )
        assert (stale["since"], stale["until"]) == (
            "2026-03-02T15:00:00+00:00",
            "2026-03-02T15:00:30+00:00",
        )


async def test_a_fault_ends_after_its_applications_after_its_time_and_by_command(script, connect):
    async with connect(script) as ib:
        await script.inflict("unanswered", request="current_time", times=1)
        ib.client.reqCurrentTime()
        assert await ib.reqCurrentTimeAsync()
        await script.inflict("lines", count=0, seconds=5)
        await script.inflict("chain_hole", con_id=1)
        await script.inflict("chain_hole", con_id=2)
        await script.step(5)
        assert [fault["con_id"] for fault in (await script.tell("faults"))["active"]] == [1, 2]
        await script.inflict("chain_hole", con_id=1, on=False)
        assert [fault["con_id"] for fault in (await script.tell("faults"))["active"]] == [2]
        await script.inflict("chain_hole", con_id=3)
        await script.inflict("chain_hole", on=False)
        assert (await script.tell("faults"))["active"] == []
        await script.inflict("chain_hole", con_id=4)
        assert await script.heal() == ["chain_hole"]
        assert (await script.tell("faults"))["active"] == []


async def test_the_same_fault_again_replaces_the_first_and_other_targets_stand_beside_it(script):
    for count in (3, 2):
        await script.inflict("lines", count=count)
    assert script.gateway.data.most_lines == 2
    await script.heal()
    assert script.gateway.data.most_lines == 100


def test_the_gateway_starts_without_the_catalogue():
    loaded = "import broker.gateway.program, sys; print(sorted(n for n in sys.modules if '.faults.' in n))"
    found = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "['broker.gateway.faults.active', 'broker.gateway.faults.fault']"


async def test_on_good_days_nothing_stands_between_desks_and_socket(script, connect):
    async with connect(script):
        await script.inflict("delay", delay_s=1)
        assert script.gateway.sessions[1].editor
        await script.inflict("read_only")
        await script.heal()
        session = script.gateway.sessions[1]
        assert session.editor is session.pipe is script.gateway.listener is None
        assert script.gateway.exchange.distort is script.gateway.exchange.object_to is None
