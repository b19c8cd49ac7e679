"""The rules engine against its promises and against its rivals: ratios of one run, on one machine.

Twelve rules that remember are judged by `rules.step`, by our scalar interpreter, by hand-written Python, as
closures, by zen-engine and by durable_rules. All must take the same decisions, or the run ends with an error.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

import rules
from benchmarks import rule_closures, rule_rivals, twelve_rules
from benchmarks.breaker import quiet_look_s
from benchmarks.figure import Figure, show
from benchmarks.twelve_rules import BEAT, after_beats, positions
from daemon.statechart import Statechart
from rules import Rulebook, RuleState
from rules.breaker import EVENTS, Mode, after
from rules.breaker.statechart import walk
from rules.breaker.table import plain
from rules.judgement import judge

_MANY = 10_000
_ROUNDS = 40
_INTERPRETED = 1_000
_ASKED_OF_DURABLE = 1_000
_CYCLES = 1_000


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest round: what the work costs when nothing else disturbs."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


@dataclass(frozen=True, slots=True)
class Scene:
    """So many positions, what is remembered of them, and what the rules decide on them now."""

    book: Rulebook
    facts: pl.DataFrame
    state: RuleState
    now: datetime
    decided: list[str | None]

    def step(self) -> tuple[RuleState, pl.DataFrame]:
        return rules.step(self.book, self.state, self.facts, {}, self.now)


def scene_of(book: Rulebook, count: int) -> Scene:
    state, now = after_beats(book, count, beats=8)
    facts = positions(count, seed=99)
    _, decisions = rules.step(book, state, facts, {}, now)
    return Scene(book, facts, state, now, decisions["rule"].to_list())


def main() -> None:
    book = twelve_rules.book()
    scenes = {count: scene_of(book, count) for count in (3, 100, 1_000, _MANY)}
    seconds = {count: best_of(_ROUNDS, scene.step) for count, scene in scenes.items()}
    for count, taken in seconds.items():
        show(Figure(f"step of 12 rules that remember, {count:,} positions", 1e3 * taken))
    show(Figure("10,000 positions / 100", 1e3 * seconds[_MANY], 1e3 * seconds[100], limit=2.5))
    ours = seconds[_MANY] / _MANY
    scalar = _show_scalar(scenes[_MANY], ours)
    _show_rivals(scenes[_MANY], ours)
    _show_explain(scenes[_MANY], scalar)
    _show_breaker(seconds[_MANY])
    _show_replay(book)


def _show_scalar(scene: Scene, ours: float) -> float:
    """The scalar interpreter; returns its seconds per position."""
    pairs = rule_rivals.rows_of(scene.facts.head(_INTERPRETED), scene.state)

    def interpreted() -> list[str | None]:
        judged = [judge(scene.book, memory, facts, {}, scene.now).winner for facts, memory in pairs]
        return [one.rule.id if one else None for one in judged]

    _agree("the scalar interpreter", scene, interpreted())
    seconds = best_of(5, interpreted) / _INTERPRETED
    show(Figure("scalar interpreter / polars, per position", 1e6 * seconds, 1e6 * ours, unit="µs"))
    least = Figure("polars / scalar interpreter: at least 40 times as fast", ours, seconds, 1 / 40, unit="s")
    show(least)
    return seconds


def _show_rivals(scene: Scene, ours: float) -> None:
    pairs = rule_rivals.rows_of(scene.facts, scene.state)
    closures, zen = rule_closures.as_closures(scene.book), rule_rivals.by_zen()
    before = [rule_rivals.put_before(facts, memory, scene.now) for facts, memory in pairs]
    rivals: dict[str, Callable[[], list[str | None]]] = {
        "plain Python": lambda: [rule_rivals.by_hand(facts, known, scene.now)[0] for facts, known in pairs],
        "closures": lambda: [closures(facts, known, scene.now)[0] for facts, known in pairs],
        "zen-engine, conditions only": lambda: [zen(seen) for seen in before],
    }
    for name, decide in rivals.items():
        _agree(name, scene, decide())
        show(
            Figure(f"{name} / polars, per position", 1e6 * best_of(3, decide) / _MANY, 1e6 * ours, unit="µs")
        )
    decided, taken = rule_rivals.by_durable_rules(before[:_ASKED_OF_DURABLE])
    _agree("durable_rules", scene, decided)
    each = 1e6 * taken / _ASKED_OF_DURABLE
    show(Figure("durable_rules, conditions only / polars, per position", each, 1e6 * ours, unit="µs"))


def _agree(name: str, scene: Scene, decided: Iterable[str | None]) -> None:
    both = list(zip(scene.decided, decided, strict=False))
    others = sum(one != other for one, other in both)
    print(f"{name}: {len(both):,} decisions, {others} other than ours", flush=True)
    if others:
        sys.exit(1)


def _show_explain(scene: Scene, scalar: float) -> None:
    """Explaining one position on which a rule wins, beside judging the same by the scalar interpreter."""
    place = next(place for place, rule in enumerate(scene.decided) if rule)
    row = scene.facts.row(place, named=True)
    known = scene.state.position(row["position"])
    alone = RuleState(scene.state.frame.filter(pl.col("position") == row["position"]))
    judged = best_of(500, lambda: judge(scene.book, known, row, {}, scene.now))
    explained = best_of(500, lambda: rules.explain(scene.book, alone, row, {}, scene.now))
    looked_up = best_of(500, lambda: alone.position(row["position"]))
    show(Figure("explain / one scalar evaluation", 1e6 * (explained - looked_up), 1e6 * judged, 1.0, "µs"))
    show(Figure("explain with its look-up of the state", 1e6 * explained, unit="µs"))


def _show_breaker(step: float) -> None:
    """What a look costs while nothing happens (one is due a second), and an event, of which a day has few."""
    look = quiet_look_s(_MANY)
    show(Figure("breaker's look, one a second / step of 10,000", 1e6 * look, 1e6 * step, 0.02, "µs"))
    chance = random.Random(7)
    events = [chance.choice(EVENTS) for _ in range(1_000)]
    table = best_of(20, lambda: after(events)) / len(events)
    chart = best_of(3, lambda: walk(plain(), Mode.ARMED.value, [event.value for event in events]))
    each = 1e6 * (table + chart / len(events))
    show(Figure("an event by table and durable_rules", each, unit="µs"))
    asked = best_of(3, lambda: Statechart().opinion(Mode.ARMED, (EVENTS[0],)))
    show(Figure("an event asked of durable_rules in a process of its own, as the daemon does", 1e3 * asked))


def _show_replay(book: Rulebook) -> None:
    """Cycles over recorded facts: the frames lie ready, as they do once the lake has been read."""
    frames = [positions(1_000, seed) for seed in range(20)]

    def replay() -> None:
        state, now = rules.initial_state(), twelve_rules.START
        for cycle in range(_CYCLES):
            state, _ = rules.step(book, state, frames[cycle % 20], {}, now)
            now += BEAT

    gc.collect()
    taken = best_of(3, replay)
    show(Figure("replay of 1,000 cycles of 1,000 positions", taken, limit=4.0, unit="s"))


if __name__ == "__main__":
    main()
