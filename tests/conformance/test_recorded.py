"""The gateway's messages have as many fields as real ones, in the same order and of the same form."""

import pytest

from tests.conformance.bare import SHARES, bare, details, order
from tests.conformance.recorded import RECORDINGS, Recording, form
from tests.conformance.stage import ACCOUNT, quoted_gateway

Message = list[str]


async def talk(version: int, ref: str) -> dict[str, list[Message]]:
    """What the gateway says when shares are looked up, ordered, bought, and sold again."""
    async with quoted_gateway() as (port, control):
        await control.tell("contract", symbol="SPY")
        await control.tell("quote", symbol="SPY", bid=500.1, ask=500.2, bid_size=500, ask_size=500)
        async with bare(port, version) as client:
            await client.ask(*details(version, SHARES))
            asked = await client.until(52)
            await client.ask(62, 1, 9, "All", "NetLiquidation")
            asked += await client.until(64)
            await client.ask(76, 1, 9, ACCOUNT, "", 0)
            asked += await client.until(74)
            await client.ask(97, 9, *SHARES, "BidAsk", 0, 0)
            asked += await client.until(99)
            await client.ask(*order(version, 1, SHARES, "BUY", 10, "LMT", "400", ref=ref))
            resting = await client.until(3)
            await client.ask(*order(version, 2, SHARES, "BUY", 10, "MKT", "", ref=ref))
            bought = await client.until(59)
            await client.ask(61, 1)
            held = await client.until(62)
            await client.ask(*order(version, 3, SHARES, "SELL", 10, "MKT", "", ref=ref))
            sold = await client.until(61)
            await client.ask(4, 1, 1, *([""] if version >= 169 else []))
            cancelled = await client.until(4)
            await client.ask(7, 3, 9, 0, "", "", "", "", "", "")
            books = await client.until(55)
            await client.ask(99, 0)
            books += await client.until(102)
    return {
        "asked": asked,
        "resting": resting,
        "bought": bought,
        "held": held,
        "sold": sold,
        "cancelled": cancelled,
        "books": books,
    }


def counterpart(recording: Recording, told: dict[str, list[Message]]) -> Message:
    """Our message at the moment at which the real one was sent."""
    messages = [message for message in told[recording.moment] if message[0] == str(recording.kind)]
    chosen = [message for message in messages if set(recording.holding) <= set(message)]
    assert chosen, f"no message {recording.kind} with {recording.holding}"
    return chosen[-1]


def differences(real: str, message: Message) -> list[str]:
    """Where the form differs. A text may be missing on either side: shares differ in what is said of them."""
    ours = form(message)
    assert len(ours) == len(real), f"{len(ours)} fields, the real one has {len(real)}: {message}"
    return [
        f"field {place} is {field!r} ({one}), in the real message it is {other}"
        for place, (one, other, field) in enumerate(zip(ours, real, message, strict=True))
        if other not in (one, "*") and {one, other} != {"t", "_"}
    ]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda found: f"{found.kind}-{found.version}")
async def test_a_message_has_the_form_of_the_real_one(recording: Recording) -> None:
    told = await talk(recording.version, recording.ref)
    assert differences(recording.form, counterpart(recording, told)) == []


def test_a_difference_in_form_is_seen() -> None:
    assert differences("iid_", ["4", "1", "2.5", ""]) == []
    assert differences("iid_", ["4", "1", "2.5", "text"]) == []
    assert len(differences("iid_", ["4", "1", "2", "1.7976931348623157E308"])) == 2
    with pytest.raises(AssertionError, match="3 fields"):
        differences("iid_", ["4", "1", "2.5"])


async def test_shares_are_held_where_they_are_listed_with_rights_as_in_printed_portfolios() -> None:
    """Users of ib_insync print holdings of a real gateway: positions have the listing exchange, portfolio
    items have it as primary exchange and the right 0."""
    async with quoted_gateway() as (port, control):
        await control.tell("contract", symbol="SPY")
        await control.tell("quote", symbol="SPY", bid=500.1, ask=500.2, bid_size=500, ask_size=500)
        async with bare(port, 178) as client:
            await client.ask(*order(178, 1, SHARES, "BUY", 10, "MKT", ""))
            await client.until(59)
            await client.ask(61, 1)
            (position,) = [m for m in await client.until(62) if m[0] == "61"]
            await client.ask(74, 1, 9, ACCOUNT, "")
            (multi,) = [m for m in await client.until(72) if m[0] == "71"]
            await client.ask(6, 2, 1, ACCOUNT)
            (item,) = [m for m in await client.until(54) if m[0] == "7"]
    assert (position[7:9], position[10]) == (["0.0", ""], "ARCA")
    assert (multi[8:10], multi[11]) == (["0.0", ""], "ARCA")
    assert (item[6:8], item[9]) == (["0.0", "0"], "ARCA")
