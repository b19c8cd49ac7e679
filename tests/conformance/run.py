"""All scenes of the day, played by each client, and what is known afterwards."""

from collections import defaultdict
from dataclasses import dataclass

from broker.gateway.protocol.layouts import read
from tests.conformance import account, contracts, history, lives, orders, prices, refusals, start
from tests.conformance.clients import NAMES
from tests.conformance.day import open_day

SCENES = (
    start.connection,
    start.simple_questions,
    contracts.details,
    contracts.refusals,
    contracts.chain,
    contracts.symbols,
    contracts.price_increments,
    contracts.exchanges,
    prices.share,
    prices.option,
    prices.snapshot,
    prices.delayed,
    prices.generic,
    prices.tick_by_tick,
    prices.calculations,
    account.first_position,
    account.positions,
    account.updates,
    account.updates_multi,
    account.summary,
    account.profit,
    orders.resting,
    orders.single_fill,
    orders.combos,
    orders.what_if,
    lives.types,
    lives.times,
    lives.conditions,
    lives.bracket,
    lives.group,
    lives.unsupported,
    lives.end_of_all,
    lives.by_hand,
    orders.day_of_books,
    history.bars,
    history.beginning,
    history.ticks,
    history.schedule,
    refusals.of_requests,
    refusals.without_id,
    refusals.nothing_to_tell,
    account.exercise,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One client's day.

    `lengths`: how many fields the messages of a kind had; `compared`: how many different values of them.
    `complaints`: its decoder's, with the message. `departures`: messages in either direction that are not as
    the gateway's own table of layouts has them. `asked`: the kinds it sent.
    """

    client: str
    version: int
    lengths: dict[int, set[int]]
    compared: dict[int, int]
    complaints: tuple[str, ...]
    departures: tuple[str, ...]
    asked: frozenset[int]


async def play(name: str) -> Run:
    """The whole day; raises AssertionError at the first value that is not as it should be."""
    async with open_day(name) as day:
        for scene in SCENES:
            await scene(day)
    clients = [day.client, *day.others]
    told = [heard for client in clients for heard in client.heard]
    asked = [fields for client in clients for fields in client.sent]
    version = day.client.version
    lengths: dict[int, set[int]] = defaultdict(set)
    for heard in told:
        lengths[heard.kind].add(len(heard.fields))
    departures = [(read(heard.fields, version, False).wrong, heard.fields) for heard in told]
    departures += [(read(fields, version, True).wrong, fields) for fields in asked]
    return Run(
        name,
        version,
        dict(lengths),
        {kind: len(names) for kind, names in day.compared.items()},
        tuple(f"{heard.complaint}: {heard.fields}" for heard in told if heard.complaint),
        tuple(f"{wrong}: {fields}" for wrong, fields in departures if wrong),
        frozenset(int(fields[0]) for fields in asked),
    )


async def play_all() -> list[Run]:
    return [await play(name) for name in NAMES]
