"""The simulated gateway under load: eight raw clients with a hundred lines each, against a bare writer.

The clients only read, in a process of their own; the limit is what an asyncio program reaches that sends
them ready-made frames of the same size. Messages per second of processor time are what one free core would
send per second of the clock; on a machine that does other things the two differ.
"""

import asyncio
import cProfile
import io
import json
import logging
import multiprocessing
import os
import pstats
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any, NamedTuple

from broker.gateway.main import read_arguments
from broker.gateway.program import build, serving
from broker.gateway.protocol.wire import frame
from options import SecType

_CLIENTS = 8
_LINES = 100
_WARM_S = 3.0
_WINDOW_S = 6.0
_FREE = ("--port", "0", "--control-port", "0")


class Drained(NamedTuple):
    """What the clients read in the window."""

    messages_per_s: float
    bytes_per_message: float


def _requests(client_id: int, con_ids: list[int]) -> bytes:
    """Handshake, introduction and subscriptions of one client."""
    hello = b"API\0" + struct.pack(">I", 9) + b"v157..178"
    lines = (
        frame([1, 11, n + 1, con_id, *[""] * 6, "SMART", "", "", "", "", 0, "", 0, 0, ""])
        for n, con_id in enumerate(con_ids)
    )
    return hello + frame([71, 2, client_id, ""]) + b"".join(lines)


def _drain(port: int, said: list[bytes], window_s: float = _WINDOW_S) -> Drained:
    """Connects as all the clients, says what each has to say, and reads for the warm-up and the window."""
    selector = selectors.DefaultSelector()
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in said]
    for line, words in zip(lines, said, strict=True):
        line.sendall(words)
        line.setblocking(False)
        selector.register(line, selectors.EVENT_READ)
    begun, sample, size = time.perf_counter(), bytearray(), 0
    while (now := time.perf_counter()) < begun + _WARM_S + window_s:
        for key, _ in selector.select(0.1):
            with suppress(BlockingIOError):
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                if now > begun + _WARM_S:
                    size += len(data)
                if key.fileobj is lines[0] and len(sample) < 1 << 20:
                    sample += data
    for line in lines:
        line.close()
    mean = _mean_frame(sample)
    return Drained(size / mean / window_s, mean)


def _mean_frame(stream: bytes | bytearray) -> float:
    """Bytes of a frame, its length included, over the later half of a stream."""
    at, sizes = 0, []
    while at + 4 <= len(stream):
        sizes.append(4 + int.from_bytes(stream[at : at + 4], "big"))
        at += sizes[-1]
    later = sizes[len(sizes) // 2 :]
    return sum(later) / len(later)


def _contracts(count: int) -> list[int]:
    """Options of the model market, the same in each process, spread over all that it lists."""
    market = build(read_arguments([])).market
    options: list[int] = [c.con_id for c in market.listings if c.sec_type is SecType.OPTION]
    print(f"listed: {len(options):,} options")
    return options[:: max(1, len(options) // count)][:count]


def _said() -> list[bytes]:
    chosen = _contracts(_CLIENTS * _LINES)
    return [_requests(n + 1, chosen[n * _LINES : (n + 1) * _LINES]) for n in range(_CLIENTS)]


@contextmanager
def _gateway(*argv: str) -> Iterator[tuple[dict[str, Any], int]]:
    """A gateway of its own: its ready line and process id."""
    command = [sys.executable, "-m", "broker.gateway", *_FREE, *argv]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert program.stdout is not None
    ready = json.loads(program.stdout.readline())
    try:
        yield ready, program.pid
    finally:
        program.terminate()
        program.wait()


def _start_s() -> tuple[float, float]:
    """Seconds to the ready line, and of processor time until then, each the median of five starts."""
    taken, used = [], []
    for _ in range(5):
        begun = time.perf_counter()
        with _gateway() as (_, pid):
            taken.append(time.perf_counter() - begun)
            used.append(_processor_s(pid))
    return statistics.median(taken), statistics.median(used)


async def _bare(pool: Pool, size: int, burst: int) -> tuple[float, float]:
    """Messages per second, and per second of processor time, of a writer that does nothing but write
    `burst` frames at a time."""
    message = struct.pack(">I", size - 4) + b"x" * (size - 4)

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while not writer.is_closing():
                for _repeat in range(100 // burst):
                    writer.write(message * burst)
                await writer.drain()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    used, begun = time.process_time(), time.perf_counter()
    drained = await _await(pool.apply_async(_drain, (port, [b"-"] * _CLIENTS)))
    share = (time.process_time() - used) / (time.perf_counter() - begun)
    server.close()
    return drained.messages_per_s, drained.messages_per_s / share


async def _await(result: "AsyncResult[Drained]") -> Drained:
    return await asyncio.to_thread(result.get)


def _latency_ms(said: list[bytes], speed: str) -> tuple[float, float]:
    """p50 and p99 of the way of a request and its reply, while all the other clients are streamed to."""
    with _gateway("--speed", speed) as (ready, _), multiprocessing.get_context("spawn").Pool(1) as pool:
        streamed = pool.apply_async(_drain, (ready["port"], said))
        time.sleep(_WARM_S)
        with socket.create_connection(("127.0.0.1", ready["port"])) as line:
            line.sendall(_requests(99, []))
            file = line.makefile("rb")
            taken = []
            while not streamed.ready():
                begun = time.perf_counter()
                line.sendall(frame([49, 1]))
                while not (body := file.read(int.from_bytes(file.read(4), "big"))).startswith(b"49\0"):
                    assert body
                taken.append((time.perf_counter() - begun) * 1e3)
                time.sleep(0.002)
        print(f"  at {streamed.get().messages_per_s:,.0f} messages/s")
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


def _processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reached(pool: Pool, said: list[bytes], *argv: str) -> tuple[Drained, float]:
    """What a gateway at top speed sends, and its share of a processor meanwhile."""
    with _gateway("--speed", "100000", *argv) as (ready, pid):
        drained = pool.apply_async(_drain, (ready["port"], said))
        time.sleep(_WARM_S)
        used, begun = _processor_s(pid), time.perf_counter()
        time.sleep(_WINDOW_S - 1)
        share = (_processor_s(pid) - used) / (time.perf_counter() - begun)
        return drained.get(), share


def _memory_mb(pid: int) -> float:
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def _day(said: list[bytes]) -> dict[str, float]:
    """Megabytes at some times (UTC) of a day and the next in which everybody listens."""
    argv = ("--speed", "100000", "--quote-every", "60", "--start", "2026-03-02T09:30:00-05:00")
    with _gateway(*argv) as (ready, pid):
        reader = multiprocessing.get_context("spawn").Process(target=_drain, args=(ready["port"], said, 1e6))
        reader.start()
        with socket.create_connection(("127.0.0.1", ready["control_port"])) as line:
            file = line.makefile("rw")

            def now() -> str:
                file.write('{"cmd": "status"}\n')
                file.flush()
                return str(json.loads(file.readline())["time"])

            found = {}
            for moment in ("2026-03-02T15:00", "2026-03-02T18:00", "2026-03-02T20:55", "2026-03-03T20:55"):
                while now() < moment:
                    time.sleep(0.1)
                found[moment] = _memory_mb(pid)
        reader.terminate()
        reader.join()
    return found


async def _profiled(pool: Pool, said: list[bytes]) -> str:
    """Where the time of one process goes that publishes at top speed."""
    profile = cProfile.Profile()
    async with serving(read_arguments([*_FREE, "--speed", "100000"])) as (_, ready):
        drained = pool.apply_async(_drain, (ready["port"], said))
        await asyncio.sleep(_WARM_S)
        profile.enable()
        await _await(drained)
        profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(18)
    return text.getvalue()


def _judge(name: str, value: float, limit: float, unit: str, above: bool = False) -> None:
    good = value >= limit if above else value <= limit
    print(f"{name}: {value:,.2f} {unit} (limit {limit:,g}) {'ok' if good else 'OVER'}")


def main() -> None:
    """Print every figure with its limit."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each write to a client that has gone
    said = _said()
    start_s, used_s = _start_s()
    _judge("start to the ready line", start_s, 1.0, "s")
    print(f"  of which processor time: {used_s:.2f} s")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        reached, share = _reached(pool, said)
        rate = reached.messages_per_s
        _judge(f"messages/s to {_CLIENTS} clients", rate, 50_000, "", above=True)
        _judge("messages/s of processor time", rate / share, 50_000, "", above=True)
        size = round(reached.bytes_per_message)
        for burst in (1, 100):
            bare, per_processor_s = asyncio.run(_bare(pool, size, burst))
            print(
                f"bare writer, {burst} frames of {size} bytes at a time: {bare:,.0f} messages/s,"
                f" {per_processor_s:,.0f} of processor time; the gateway is at {rate / bare:.3f},"
                f" {rate / share / per_processor_s:.3f} of it"
            )
        with tempfile.TemporaryDirectory() as folder:
            recorded, its_share = _reached(pool, said, "--record", str(Path(folder) / "all.rec"))
        dearer = (recorded.messages_per_s / its_share) / (rate / share)
        _judge("messages/s of processor time, recorded / not recorded", dearer, 0.8, "", above=True)
        for speed in ("1", "10"):
            p50, p99 = _latency_ms(said, speed)
            print(f"request to reply at speed {speed}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        memory = _day(said)
        print(", ".join(f"{megabytes:.1f} MB at {moment} UTC" for moment, megabytes in memory.items()))
        _, _, one_day, two_days = memory.values()
        _judge("memory at the second day's end / at the first's", two_days / one_day, 1.05, "")
        print(asyncio.run(_profiled(pool, said)))


if __name__ == "__main__":
    main()
