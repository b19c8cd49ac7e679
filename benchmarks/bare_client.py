"""The least that a client of ib_async can do: subscribe, decode, and throw away.

`python -m benchmarks.bare_client PORT CON_ID...` runs until it is ended.
"""

import asyncio
import sys

import ib_async as ib
from ib_async.wrapper import Wrapper


class _Empty(Wrapper):  # type: ignore[misc]
    """Every handler of ticks is empty."""

    def priceSizeTick(self, *_: object) -> None: ...  # noqa: N802
    def tickSize(self, *_: object) -> None: ...  # noqa: N802
    def tickOptionComputation(self, *_: object) -> None: ...  # noqa: N802
    def tickString(self, *_: object) -> None: ...  # noqa: N802
    def tickGeneric(self, *_: object) -> None: ...  # noqa: N802
    def tcpDataArrived(self) -> None: ...  # noqa: N802
    def tcpDataProcessed(self) -> None: ...  # noqa: N802


async def main(port: int, con_ids: list[int]) -> None:
    """Subscribe to these contracts and listen."""
    client = ib.IB()
    client.wrapper = _Empty(client)  # type: ignore[no-untyped-call]
    client.client = ib.Client(client.wrapper)  # type: ignore[no-untyped-call]
    await client.client.connectAsync("127.0.0.1", port, 9, 10)  # type: ignore[no-untyped-call]
    for con_id in con_ids:
        contract = ib.Contract(conId=con_id, exchange="SMART")
        request = client.client.getReqId()
        client.client.reqMktData(request, contract, "", False, False, [])  # type: ignore[no-untyped-call]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(each) for each in sys.argv[2:]]))
