"""Puts market, account and ports together and runs them."""

import argparse
import asyncio
import json
import logging
import math
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from broker.gateway.control import ControlPort
from broker.gateway.errors import GatewayError
from broker.gateway.exchange.account import Account, Holding
from broker.gateway.gateway import Gateway
from broker.gateway.markets.market import Market
from broker.gateway.markets.model import ModelMarket
from broker.gateway.markets.positions import held, read_positions
from broker.gateway.markets.script import ScriptMarket
from broker.gateway.recording.tape import FileTape, Header, Mark, digest, moment, versions
from broker.gateway.state import read_state, restore_books, restored_account
from options import NEW_YORK

log = logging.getLogger("gateway")

DEPOSIT_USD = 100_000.0
# What does not change what the gateway says.
OUTWARD = {"host", "port", "control_port", "home", "state", "record", "speed", "json"}

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def run(arguments: argparse.Namespace) -> None:
    """Blocks until the gateway has stopped; raises GatewayError."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="gateway: %(message)s")
    asyncio.run(_serve(arguments))


def _market(arguments: argparse.Namespace) -> tuple[Market, list[Holding]]:
    """The market and what a new account holds."""
    rows = read_positions(arguments.positions) if arguments.positions else []
    market: Market
    if arguments.market == "model":
        if arguments.positions or arguments.quotes:
            raise GatewayError(
                "the model market makes its own quotes and holdings: leave out --quotes, --positions"
            )
        model = ModelMarket(
            arguments.seed,
            arguments.start,
            arguments.quote_every,
            arguments.scenario,
            keep_nights=arguments.nights == "keep",
        )
        return model, model.first_holdings()
    _refuse_words_of_the_model(arguments)
    if arguments.market == "replay":
        if not arguments.quotes:
            raise GatewayError("a replay needs quotes: name a parquet file with --quotes")
        from broker.gateway.markets.replay import ReplayMarket

        market = ReplayMarket(arguments.quotes, {row.local_symbol: row.con_id for row in rows})
    else:
        market = script = ScriptMarket(arguments.start)
        if arguments.quotes:
            script.read(arguments.quotes)
    return market, held(arguments.positions, rows, market.listings)


def _refuse_words_of_the_model(arguments: argparse.Namespace) -> None:
    given = {
        "--scenario": arguments.scenario != "calm",
        "--quote-every": arguments.quote_every != 1,
        "--nights": arguments.nights != "skip",
        "--start": arguments.market == "replay" and arguments.start is not None,
    }
    if names := ", ".join(name for name, meant in given.items() if meant):
        raise GatewayError(f"the {arguments.market} market has no {names}: leave that out")


def build(arguments: argparse.Namespace, saved: dict[str, Any] | None = None) -> Gateway:
    """A gateway that is not yet listening, with its day's plan of faults."""
    gateway = _gateway(arguments, saved)
    if arguments.faults:
        from broker.gateway.days import plan

        plan(gateway, arguments.faults)
    return gateway


def _gateway(arguments: argparse.Namespace, saved: dict[str, Any] | None) -> Gateway:
    """Continued from a state document or file when there is one."""
    market, holdings = _market(arguments)
    speed = arguments.speed if arguments.speed is not None else float(arguments.market != "script")
    if not 0 <= speed < math.inf:
        raise GatewayError(f"--speed {speed} is no pace: use a number from 0")
    if saved is None and arguments.state:
        saved = read_state(arguments.state, market.name)
    if saved is None:
        account, now = Account.open(arguments.account, DEPOSIT_USD, holdings), market.start()
        return Gateway(market, account, now, speed, arguments.lines, arguments.state, arguments.seed)
    try:
        market.load(saved["market_state"])
        account, now = restored_account(saved), datetime.fromisoformat(saved["time"])
        gateway = Gateway(market, account, now, speed, arguments.lines, arguments.state, arguments.seed)
        restore_books(saved, gateway.exchange)
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayError(
            f"state file {arguments.state} is damaged ({error!r}): move it away to start anew"
        ) from None
    return gateway


def _header(arguments: argparse.Namespace) -> Header:
    """What a recording needs so that the same gateway can be built again."""
    decisive = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(arguments).items()
        if name not in OUTWARD and value is not None
    }
    paths = [value for value in decisive.values() if isinstance(value, Path)]
    if arguments.faults and Path(arguments.faults).is_file():
        paths.append(Path(arguments.faults))
    files = {str(path): digest(path) for path in paths}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in decisive.items()}
    state = arguments.state
    saved = read_state(state, arguments.market) if state else None
    return Header(plain, files, saved, versions())


class Doors:
    """The listening ports and the connections that came in through them."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self, serve: Serve, host: str, port: int, option: str) -> int:
        """Listens; the port that was taken. Raises GatewayError when it is in use."""

        async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._visits.add(task := asyncio.create_task(serve(reader, writer)))
            task.add_done_callback(self._visits.discard)

        try:
            server = await asyncio.start_server(visit, host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise GatewayError(
                f"cannot listen on {host} port {port} ({reason}): choose another with {option}"
            ) from None
        self._servers.append(server)
        taken: int = server.sockets[0].getsockname()[1]
        return taken

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        visits = list(self._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)


@asynccontextmanager
async def serving(arguments: argparse.Namespace) -> AsyncIterator[tuple[Gateway, dict[str, Any]]]:
    """A gateway that listens and whose clock runs, with its ready line; saved and closed at the end."""
    gateway = build(arguments)
    tape = FileTape(arguments.record, _header(arguments), gateway.fail) if arguments.record else None
    if tape:
        gateway.tape = tape
        tape.note(Mark.TIME, 0, moment(gateway.clock.now))
    doors = Doors()
    clock = asyncio.create_task(gateway.clock.run(), name="clock")
    clock.add_done_callback(lambda _: gateway.stop.set())
    try:
        port = await doors.open(gateway.serve, arguments.host, arguments.port, "--port")
        control = ControlPort(gateway, arguments.home)
        control_port = await doors.open(control.serve, "127.0.0.1", arguments.control_port, "--control-port")
        gateway.save()
        account = gateway.exchange.account.account_id
        yield gateway, {"ready": True, "port": port, "control_port": control_port, "account": account}
    finally:
        await doors.close()
        if clock.done() and not gateway.failure:
            clock.result()
        clock.cancel()
        if tape:
            tape.close()
    gateway.close()
    if gateway.failure:
        raise gateway.failure


def _wants_view(arguments: argparse.Namespace) -> bool:
    return sys.stdout.isatty() and not arguments.json


async def _serve(arguments: argparse.Namespace) -> None:
    async with serving(arguments) as (gateway, ready):
        loop = asyncio.get_running_loop()
        # The hang-up is that of a terminal which was closed.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, gateway.stop.set)
        if _wants_view(arguments):
            from broker.gateway.view.terminal import show

            scenario = arguments.scenario if arguments.market == "model" else ""
            await show(gateway, f"{arguments.market} {scenario}".strip(), ready)
            return
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        log.info("%s market, API on port %d", gateway.market.name, ready["port"])
        await gateway.stop.wait()
    log.info("stopped at %s New York", f"{gateway.clock.now.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}")
