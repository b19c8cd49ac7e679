"""A TWS client of a few lines that talks at any server version, for layouts that depend on it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.conformance.stage import ACCOUNT

# conId to tradingClass of a request.
CALL = ("0", "XYZ", "OPT", "20260417", "105", "C", "100", "SMART", "", "USD", "", "")
SHARES = ("0", "SPY", "STK", "", "0", "", "", "SMART", "", "USD", "", "")


@dataclass
class BareClient:
    version: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, *fields: object) -> None:
        body = "".join(f"{field}\0" for field in fields).encode()
        self.writer.write(struct.pack(">I", len(body)) + body)

    async def next(self) -> list[str]:
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        return (await self.reader.readexactly(length)).decode().split("\0")[:-1]

    async def until(self, kind: int) -> list[list[str]]:
        """Every message up to the next one of that kind."""
        heard: list[list[str]] = []
        async with asyncio.timeout(20):
            while not heard or heard[-1][0] != str(kind):
                heard.append(await self.next())
        return heard


@asynccontextmanager
async def bare(port: int, version: int) -> AsyncIterator[BareClient]:
    """Has shaken hands and read its accounts, next order id and the state of the farms."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    offer = f"v157..{version}".encode()
    writer.write(b"API\0" + struct.pack(">I", len(offer)) + offer)
    client = BareClient(version, reader, writer)
    try:
        assert (await client.next())[0] == str(version)
        await client.ask(71, 2, 1, "")
        await client.until(9)
        for _ in range(3):
            assert (await client.next())[0] == "4"
        yield client
    finally:
        writer.close()


def details(version: int, contract: tuple[str, ...]) -> list[object]:
    """reqContractDetails (9), as request 1."""
    return [9, 8, 1, *contract, 0, "", "", *([""] if version >= 176 else [])]


def order(
    version: int, order_id: int, contract: tuple[str, ...], *terms: object, ref: str = ""
) -> list[object]:
    """placeOrder (3); `terms` are action, quantity, type and limit price."""
    head = (*contract, "", "", *terms, "", "DAY", "", ACCOUNT, "O", 0, ref, 1, 0, 0, 0, 0, 0, 0, 0)
    advice = ("", 0, "", "", "", "", "", *([""] if version < 177 else []))
    sale = ("", 0, "", -1, 0, "", "", 0, "", "", 0, 0, "", 0, "", "", "", "", "", 0, "", "", "", "")
    scale = (0, "", "", "", "", "", "", "", "", "", "")
    clearing = (0, "", "", 0, 0, "", "", 0, "", 0, 0, 0, 0)
    adjusted = ("", "", "", "", "", "", 0, "", "", "", "", "", "", "", "", 0, 0, 0, "")
    late = [
        field for since, field in ((158, ""), (160, ""), (162, 0), (166, ""), (169, "")) if version >= since
    ]
    return [3, order_id, *head, *advice, *sale, *scale, *clearing, *adjusted, *late]
