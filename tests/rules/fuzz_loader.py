"""Fuzzing of the loader: it answers any text soon, with a rulebook that works or problems with places.

`python -m tests.rules.fuzz_loader --minutes 10 [--seed N]` mutates rules files at random. What breaks the
promise is written to `--findings` and ends the run with an error. `fuzz_loader_atheris` does the same, led
by coverage.
"""

import argparse
import json
import random
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

import rules
from benchmarks import random_rules
from rules.chain import split_text
from rules.rule_reader import _KEYS, _TIER_KEYS

EXTENDED = "\n#--- extended: base.yaml ---\n"
_MISTAKES = Path(__file__).with_name("mistakes")
NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
LONGEST_S = 1.0
MEMORY_MB = 1_500
_ONE = pl.DataFrame({"position": ["A"], "profit": [0.5], "structure": ["iron_condor"], "dte": [20]})

SHAPES = (
    EXTENDED,
    "[", "]", "{", "}", "{}", "[]", "- ", "? ", ": ", ":", ",", "#", " #", "|", ">", "|2-", "&a ", "*a",
    "!!str ", "!x ", "!<", "%YAML 1.1\n", "%YAML ", "%TAG ! a\n", "---\n", "...\n", "'", '"', "''", "\\",
    "\\x41", "\\u12", "@", "`", "\t", "\r", "\r\n", "\n", "\n\n", "  ", "\ufeff", "\x00", "\x07", "\x85",
    "\u2028", "é", "😀", "\ud800", "~", "null", "true", "yes", "off", "<<: ", "=", "0o7", "0x1f", "1_000",
    "1:30", "2026-01-01",
)  # fmt: skip
WORDS = (
    *rules.FACTS, *_KEYS, *_TIER_KEYS, "version", "track", "macros", "rules", "extends", "mutes", "replace",
    "append", "close", "reduce", "roll", "block_entries", "mid", "market", "half", "reduce_largest", "any",
    "all", "fires", "quiet", "high", "immediate", "normal", "live", "shadow", "hold", "fire", "position",
    "book", "iron_condor", "crash", "and", "or", "not", "in", "between", "abs(", "min(", "max(", "(", ")",
    "<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "=", "&&", "||", "!", "%", "$", "$p", "$500", "50%",
    "-50%", "3x", "21d", "2h", "2m", "30s", "5vol", "0.30", "1e999", "1e-400", ".5", "5.", "0", "nan", ".inf",
    "-.inf", "'iron_condor'", "'", ",",
)  # fmt: skip


def judged(text: str, longest_s: float = LONGEST_S) -> str:
    """Sound or refused; raises AssertionError, or whatever went wrong, when the loader breaks its promise."""
    begun = time.process_time()
    try:
        book = rules.parse(text)
    except rules.RulesInvalid as error:
        _check_places(text, error)
        verdict = "refused"
    else:
        state, _ = rules.step(book, rules.initial_state(), _ONE, {}, NOON)
        rules.step(book, state, _ONE.head(0), {"vix": 20.0}, NOON)
        rules.explain(book, state, _ONE.row(0, named=True), {}, NOON).text()
        verdict = "sound"
    taken = time.process_time() - begun
    assert taken <= longest_s, f"took {taken:.2f} s of processor time"
    return verdict


def _check_places(text: str, error: rules.RulesInvalid) -> None:
    files = [piece.split("\n") for piece in split_text(text)]
    assert error.problems, "a refusal without a problem"
    for problem in error.problems:
        # Of a text that holds several files the path names the one; the first is by far the most common.
        places = files[:1] if "(" not in problem.path else files[1:]
        assert any(_is_in(problem, lines) for lines in places), f"no such place: {problem}"
        assert problem.message.strip(), f"no message: {problem}"
    longest = max(len(problem.message) for problem in error.problems)
    assert longest <= 1_000, f"a message of {longest} characters"
    assert len(str(error)) <= 100_000, f"{len(str(error))} characters of messages"


def _is_in(problem: rules.Problem, lines: list[str]) -> bool:
    return 1 <= problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1


_SOUND = 9


def seeds() -> list[str]:
    """Files to start from: nine that are sound, the twelve rules first, then those with one mistake each."""
    chance = random.Random(1)
    twelve = rules.default_rules_path().read_text(encoding="utf-8")
    mistakes = [path.read_bytes().decode("utf-8", "replace") for path in sorted(_MISTAKES.glob("*.yaml"))]
    short = [text for text in mistakes if len(text) < 5_000]
    written = [random_rules.remembering(chance, 3) for _ in range(6)]
    own = "extends: base.yaml\nappend:\n  - {id: b, priority: 2, when: dte < 2d, do: close}\n"
    base = "version: 1\nrules:\n  - {id: a, priority: 1, when: dte < 1d, do: close}\n"
    return [twelve, base, f"{own}{EXTENDED}{base}", *written, *short]


def mutated(chance: random.Random, text: str, other: str) -> str:
    """The text with a few changes, small ones mostly; `other` is what pieces are taken from."""
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        text = chance.choice(_MUTATIONS)(chance, text, other)
    return text[:1_100_000]


def _place(chance: random.Random, text: str) -> int:
    return chance.randint(0, len(text))


def _line_moved(chance: random.Random, text: str, other: str) -> str:
    lines = text.split("\n")
    taken = lines.pop(chance.randrange(len(lines)))
    what = chance.randrange(4)
    if what == 0:
        return "\n".join(lines)
    if what == 1:
        taken = " " * chance.randint(0, 8) + taken.lstrip()
    lines.insert(chance.randint(0, len(lines)), taken)
    if what == 2:
        lines.insert(chance.randint(0, len(lines)), chance.choice(other.split("\n")))
    return "\n".join(lines)


def _token_replaced(chance: random.Random, text: str, other: str) -> str:
    pieces = text.split(" ")
    pieces[chance.randrange(len(pieces))] = chance.choice((*WORDS, *SHAPES))
    return " ".join(pieces)


def _inserted(chance: random.Random, text: str, other: str) -> str:
    place = _place(chance, text)
    return text[:place] + chance.choice((chance.choice(SHAPES), chance.choice(WORDS))) + text[place:]


def _removed(chance: random.Random, text: str, other: str) -> str:
    place = _place(chance, text)
    return text[:place] + text[place + chance.choice((1, 1, 1, 5, 50)) :]


def _spliced(chance: random.Random, text: str, other: str) -> str:
    return text[: _place(chance, text)] + other[_place(chance, other) :]


def _repeated(chance: random.Random, text: str, other: str) -> str:
    """A piece, many times: deep, long and large."""
    place = _place(chance, text)
    if chance.random() < 0.5:
        piece = chance.choice((*SHAPES, *WORDS, "a", "9", " ", "[a, ", "{a: ", "- - ", "not ", "(", "\n  "))
    else:
        piece = text[place : place + chance.choice((1, 10, 100, 1000))]
    times = int(10 ** chance.uniform(0, 5))
    return text[:place] + piece * min(times, 1_000_000 // (len(piece) or 1)) + text[place:]


def _condition_written(chance: random.Random, text: str, other: str) -> str:
    """A sound condition in the place of another."""
    lines = text.split("\n")
    whens = [place for place, line in enumerate(lines) if "when:" in line]
    if not whens:
        return text
    place = chance.choice(whens)
    before, _, _ = lines[place].partition("when:")
    written = json.dumps(random_rules.Author(chance).when(chance.choice((1, 2, 3))))
    lines[place] = f"{before}when: {written}"
    return "\n".join(lines)


_MUTATIONS = (
    _line_moved,
    _token_replaced,
    _token_replaced,
    _inserted,
    _removed,
    _spliced,
    _repeated,
    _condition_written,
)


def fuzz(seed: int, minutes: float, findings: Path) -> int:
    """Random mutations for so long; returns how many texts were judged."""
    chance, corpus, count, sound = random.Random(seed), seeds(), 0, 0
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        start = chance.choice(corpus if chance.random() < 0.5 else corpus[1:_SOUND])
        text = mutated(chance, start, chance.choice(corpus))
        try:
            sound += judged(text) == "sound"
        except BaseException:
            _keep(text, findings)
            raise
        count += 1
    print(
        f"seed {seed}: {count:,} texts in {minutes:g} minutes, {sound:,} of them sound, {memory_mb():.0f} MB"
    )
    assert memory_mb() < MEMORY_MB, f"{memory_mb():.0f} MB of memory"
    return count


def memory_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _keep(text: str, findings: Path) -> None:
    findings.mkdir(parents=True, exist_ok=True)
    path = findings / f"finding-{abs(hash(text)):x}.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    print(f"a finding: {path}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    given = arguments.parse_args()
    fuzz(given.seed, given.minutes, given.findings)


if __name__ == "__main__":
    main()
