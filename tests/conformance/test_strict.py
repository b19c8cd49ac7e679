"""The harness can fail: for every style of decoding a field too many and a field too few are seen."""

import ib_async
import ib_insync
import pytest

from tests.conformance.clients import LIBRARIES
from tests.conformance.strict import Heard, Listener, StrictOfficial, strict_decoder

DETAILS_END = "52|1|7"
STATUS = "3|5|Submitted|0|1|0.0|77|0|0.0|1||0"
POSITION = "61|3|DU1|4391|SPY|STK||0.0||1||USD|SPY|SPY|100|500.25"
RULE = "93|26|1|0.0|0.01"
BARS = "17|9|20260302  10:00:00|20260303  10:00:00|1|20260302|1.0|2.0|0.5|1.5|10|1.2|4"
CHAIN = "75|4|SMART|4391|SPY|100|2|20260320|20260417|3|95.0|100.0|105.0"
EXECUTION = (
    "11|-1|5|4391|SPY|STK||0.0|||SMART|USD|SPY|SPY|0001.01|20260302-15:00:00|DU1|SMART|BOT|1|500.0|77|1|0"
    "|1|500.0|||1.0||2"
)
ERROR = "4|2|-1|2104|text"
END_WITHOUT_CONTENT = "53|1"

STYLES = {
    "a signature": DETAILS_END,
    "a signature without parameters": END_WITHOUT_CONTENT,
    "one field after another": POSITION,
    "as many as it declares": RULE,
    "repeated groups": BARS,
    "a list of types": STATUS,
    "all that follows": CHAIN,
}


def fields(text: str) -> list[str]:
    return text.split("|")


def heard(name: str, message: list[str], version: int = 157) -> Heard:
    """What a client's decoder at that version makes of one message."""
    if name == "ibapi":
        official = StrictOfficial(Listener(), version)
        official.interpret(tuple(field.encode() for field in message))
        return official.heard[0]
    decoder = strict_decoder(LIBRARIES[name], Listener())
    decoder.serverVersion = version
    decoder.interpret(message)
    (found,) = decoder.heard
    assert isinstance(found, Heard)
    return found


@pytest.mark.parametrize("name", ["ib_async", "ib_insync", "ibapi"])
@pytest.mark.parametrize("style", STYLES)
def test_a_message_of_the_right_length_is_no_complaint(name: str, style: str) -> None:
    assert heard(name, fields(STYLES[style])).complaint == ""


@pytest.mark.parametrize("name", ["ib_async", "ib_insync", "ibapi"])
@pytest.mark.parametrize("style", STYLES)
def test_a_field_too_many_is_a_complaint(name: str, style: str) -> None:
    message = fields(STYLES[style])
    complaint = heard(name, [*message, "0"]).complaint
    assert complaint.startswith(f"{len(message) + 1} fields where it needs {len(message)}")


@pytest.mark.parametrize("name", ["ib_async", "ib_insync", "ibapi"])
@pytest.mark.parametrize("style", STYLES)
def test_a_field_too_few_is_a_complaint(name: str, style: str) -> None:
    assert heard(name, fields(STYLES[style])[:-1]).complaint


@pytest.mark.parametrize(("name", "version"), [("ib_async", 178), ("ib_insync", 176), ("ibapi", 157)])
def test_a_message_that_no_client_knows_is_a_complaint(name: str, version: int) -> None:
    assert heard(name, ["250", "1"], version).complaint.startswith("it knows no such message")


@pytest.mark.parametrize("library", [ib_async, ib_insync])
def test_surplus_fields_that_the_decoder_swallows_are_counted(library) -> None:
    """Both drop surplus fields of 4, 5, 10, 101 and others in silence."""
    decoder = strict_decoder(library, listener := Listener())
    decoder.serverVersion = 165
    decoder.interpret([*fields(ERROR), "", "", ""])
    assert [name for name, _ in listener.told] == ["error"], "the client itself is content"
    assert decoder.heard[0].complaint == "8 fields where it needs 5"


def test_fields_that_came_with_a_version_are_wanted_from_it_on() -> None:
    assert heard("ib_async", fields(ERROR), 165).complaint == ""
    assert "5 fields where it needs" in heard("ib_async", fields(ERROR), 166).complaint
    execution = fields(EXECUTION)
    assert (heard("ib_insync", execution, 176).complaint, len(execution)) == ("", 31)
    assert heard("ib_async", execution, 178).complaint
    assert heard("ib_async", [*execution, "0"], 178).complaint == ""
    assert heard("ib_async", [*execution, "0"], 177).complaint == "32 fields where it needs 31"


def test_what_cannot_be_read_as_a_number_is_a_complaint() -> None:
    for name in ("ib_async", "ib_insync", "ibapi"):
        assert heard(name, fields(POSITION.replace("500.25", "much"))).complaint
        assert heard(name, fields(STATUS.replace("77", "many"))).complaint
