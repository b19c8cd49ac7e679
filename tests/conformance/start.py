"""The first minutes: accounts, ids, farms, time."""

from datetime import UTC, datetime

from tests.conformance.day import Day
from tests.conformance.stage import ACCOUNT

FARMS = {2104: "usfarm", 2106: "ushmds", 2158: "secdefil"}


async def connection(day: Day) -> None:
    """What comes without being asked."""
    client = day.client
    day.equal(15, (await client.told("managedAccounts"))[0], ACCOUNT)
    day.equal(9, (await client.told("nextValidId"))[0], 1)
    for code, farm in FARMS.items():
        req_id, _, text, *_ = await client.told("error", lambda _r, found, *_, code=code: found == code)
        day.equal(4, (req_id, text.split(":")[-1]), (-1, farm))


async def simple_questions(day: Day) -> None:
    """Accounts, ids, time and the user, asked for."""
    client, calls = day.client, day.client.calls
    since = client.now
    calls.setServerLogLevel(1)
    calls.cancelNewsBulletins()
    calls.reqManagedAccts()
    day.equal(15, (await client.told("managedAccounts", since=since))[0], ACCOUNT)
    calls.reqIds(1)
    day.equal(9, (await client.told("nextValidId", since=since))[0], 1)
    calls.reqCurrentTime()
    status = await day.tell("status")
    (seconds,) = await client.told("currentTime")
    day.equal(49, _iso(seconds), status["time"])
    if hasattr(calls, "reqUserInfo"):
        calls.reqUserInfo(asked := day.request())
        day.equal(107, await client.told("userInfo"), (asked, ""))


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
