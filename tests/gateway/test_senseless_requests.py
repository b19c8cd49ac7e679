"""Requests for contracts, prices and history whose fields make no sense get an error, never an end."""

import random

import pytest

CONTRACT = ("0", "XYZ", "OPT", "20260417", "90.0", "P", "100", "SMART", "", "USD", "", "")
SOUND = {
    1: ("11", "7", *CONTRACT, "0", "100,233", "0", "0", ""),
    2: ("2", "7"),
    9: ("8", "7", *CONTRACT, "0", "", "", ""),
    20: ("7", *CONTRACT, "0", "", "1 min", "1 D", "1", "TRADES", "1", "0", ""),
    25: ("1", "7"),
    54: ("3", "7", *CONTRACT, "1.5", "100.0", "0", ""),
    55: ("3", "7", *CONTRACT, "0.3", "100.0", "0", ""),
    59: ("1", "3"),
    78: ("7", "XYZ", "", "STK", "1"),
    81: ("7", "XY"),
    83: ("7", "9c0001"),
    87: ("7", *CONTRACT, "0", "1", "TRADES", "1"),
    91: ("26",),
    96: ("7", *CONTRACT, "0", "20260302-14:30:00", "", "10", "TRADES", "1", "0", ""),
    97: ("7", *CONTRACT, "BidAsk", "3", "0"),
    98: ("7",),
}
SENSELESS = (
    *("", "x", "-1", "0", "1e999", "nan", "99999999999999999999", "Infinite", "1.7976931348623157E308"),
    *("BAG", "IND", "STK", "CASH", "20269999", "2026-04-17", "C", "?", "-5 D", "9999 Y", "1 secs", "1M"),
    *("BID_ASK", "SCHEDULE", "HISTORICAL_VOLATILITY", "20260302 25:61:00 US/Eastern", "\u00e9", "1,2,,3"),
)


@pytest.mark.parametrize("seed", range(8))
async def test_a_client_that_sends_nonsense_is_answered_and_stays_connected(script, connect, seed):
    await script.list_condor()
    await script.step(60)
    chance = random.Random(seed)
    async with connect(script) as ib:
        ib.wrapper.contractDetails = lambda *_: None  # it knows nothing of requests sent behind its back
        for _ in range(60):
            kind = chance.choice(list(SOUND))
            fields = list(SOUND[kind])
            for _ in range(chance.randint(1, 3)):
                fields[chance.randrange(len(fields))] = chance.choice(SENSELESS)
            ib.client.send(kind, *fields[: chance.choice((len(fields), chance.randint(0, len(fields))))])
            await ib.reqCurrentTimeAsync()
        assert ib.isConnected()


@pytest.mark.parametrize("kind", SOUND)
async def test_the_sound_forms_of_these_requests_are_no_nonsense(script, connect, heard, kind):
    await script.list_condor()
    await script.step(60)
    async with connect(script) as ib:
        errors = heard(ib)
        ib.wrapper.contractDetails = lambda *_: None
        ib.client.send(kind, *SOUND[kind])
        await ib.reqCurrentTimeAsync()
        assert not [code for _, code in errors if code in (320, 505)]
