"""At every server version that the gateway agrees to, each layout is as long as that version has it."""

import ib_async
import ib_insync
import ibapi.server_versions
import pytest
from ibapi.message import OUT

from broker.gateway.session import NEWEST_VERSION, OLDEST_VERSION
from tests.conformance.bare import CALL, BareClient, bare, details, order
from tests.conformance.stage import quoted_gateway
from tests.conformance.strict import Listener, strict_decoder

VERSIONS = range(OLDEST_VERSION, NEWEST_VERSION + 1)


def wanted_lengths(version: int) -> dict[int, int]:
    """How many fields the messages have whose length depends on the version, its number included."""
    pegs, profile = 5 * (version >= 170), version < 177
    return {
        4: 5 + (version >= 166),
        5: 127 + profile + sum(version >= since for since in (158, 160, 162)) + pegs,
        10: 40 if version >= 163 else 39,
        11: 31 + (version >= 178),
        101: 95 + profile + pegs,
    }


async def talk(client: BareClient) -> list[list[str]]:
    """Asks for everything whose layout depends on the version; what the gateway said to it."""
    version = client.version
    heard = []
    await client.ask(*details(version, CALL))
    heard += await client.until(52)
    await client.ask(81, 2, "XYZ")
    heard += await client.until(79)
    await client.ask(*order(version, 1, CALL, "BUY", 1, "LMT", "0.90"))
    heard += await client.until(3)
    await client.ask(4, 1, 1, *([""] if version >= 169 else []))
    heard += await client.until(4)
    await client.ask(*order(version, 2, CALL, "BUY", 1, "LMT", "1.20"))
    heard += await client.until(59)
    await client.ask(99, 0)
    heard += await client.until(102)
    return heard


@pytest.mark.parametrize("version", VERSIONS)
async def test_layouts_are_as_long_as_the_version_has_them(version: int) -> None:
    async with quoted_gateway() as (port, _), bare(port, version) as client:
        heard = await talk(client)
    lengths = wanted_lengths(version)
    assert {4, 5, 10, 11, 59, 79, 101} <= {int(message[0]) for message in heard}
    for message in heard:
        kind = int(message[0])
        assert len(message) == lengths.get(kind, len(message)), message
        assert kind != 4 or message[3] == "202", message
        if kind == 11:
            time = message[15]
            assert time.endswith(" US/Eastern") if version >= 174 else time[8:10] == "  ", time
    samples = next(message for message in heard if message[0] == "79")
    assert len(samples) == 3 + 6 + int(samples[8]) + 2 * (version >= 176)


@pytest.mark.parametrize("version", VERSIONS)
async def test_ib_async_reads_every_layout_at_every_version(version: int) -> None:
    async with quoted_gateway() as (port, _), bare(port, version) as client:
        heard = await talk(client)
    decoder = strict_decoder(ib_async, Listener())
    decoder.serverVersion = version
    for message in heard:
        decoder.interpret(message)
    # It expects an order's duration from 159 on, and cannot tell below 176 whether the last symbol is whole.
    unsure = {79} if version < 176 else set()
    unsure |= {5} if version == 158 else set()
    assert [found for found in decoder.heard if found.complaint and found.kind not in unsure] == []


async def test_no_request_of_the_official_client_is_unknown() -> None:
    """One without any fields makes no sense (320), but its number is known (never 505)."""
    numbers = [value for name, value in vars(OUT).items() if name.isupper() and value != OUT.START_API]
    assert len(numbers) > 70
    async with quoted_gateway() as (port, _), bare(port, OLDEST_VERSION) as client:
        for number in numbers:
            await client.ask(number)
        await client.ask(OUT.REQ_MATCHING_SYMBOLS, 2, "XYZ")
        codes = {message[3] for message in await client.until(79) if message[0] == "4"}
    assert "320" in codes
    assert "505" not in codes


def test_the_versions_are_those_of_the_clients() -> None:
    official = ibapi.server_versions
    assert official.MAX_CLIENT_VER == official.MIN_SERVER_VER_REPLACE_FA_END == OLDEST_VERSION
    family = ib_async.client.Client, ib_insync.client.Client
    assert {client.MinClientVersion for client in family} == {OLDEST_VERSION}
    assert [client.MaxClientVersion for client in family] == [NEWEST_VERSION, 176]
