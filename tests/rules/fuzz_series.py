"""Damaged files of tests: run, or refused with places. `python -m tests.rules.fuzz_series SECONDS [SEED]`."""

import random
import sys
import time
from pathlib import Path

import rules
from rules.series import run_series

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "rules" / "default_test.yaml", *sorted((ROOT / "docs" / "cookbook").glob("*_test.yaml"))]
WORDS = (
    *(
        "10%",
        "~",
        "_",
        "*5",
        "*99999",
        "*",
        "x",
        "'",
        "''",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "\n",
        "\n    ",
        "- ",
    ),
    *("at 3m", "at -1m", "at 1e300d", "always", "otherwise", "never: ", "none", "expect:", "every: 1e-300s"),
    *("every: 0", "\t", "&a", "*a", "!!python", "1e400", "-", "$5", "$", "nan", "\0", "é", "—", "name: t"),
    *("positions:", "{rule: x}", "book:", "dte: 3d", "tests:", "rules: x", "#", "|", ">", "? ", " 9" * 50),
)


def seeds() -> list[str]:
    """Small files that are sound: a few tests of each file, since whole ones would take their time."""
    texts = [path.read_text(encoding="utf-8").split("\n  - name") for path in FILES]
    return [
        "\n  - name".join([text[0], *text[at : at + 2]]) for text in texts for at in range(1, len(text), 2)
    ]


def mutated(chance: random.Random, text: str) -> str:
    """The text with some words put in, cut out or turned around."""
    for _ in range(chance.randint(1, 5)):
        at, to = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        kind = chance.random()
        if kind < 0.5:
            text = text[:at] + chance.choice(WORDS) + text[at:]
        elif kind < 0.9:
            text = text[:at] + text[min(to, at + 12) :]
        else:
            text = text[:at] + text[to:]
    return text


def judged(book: rules.Rulebook, text: str) -> bool:
    """Whether the tests could be run; a refusal has a place for every problem."""
    refused = False
    try:
        failures = run_series(book, text)
        places = [(failure.line, failure.column) for failure in failures]
        assert all(str(failure) for failure in failures)
    except rules.RulesInvalid as error:
        places = [(problem.line, problem.column) for problem in error.problems]
        refused = True
    assert places or not refused
    assert all(1 <= line <= text.count("\n") + 1 and column >= 1 for line, column in places), places
    return not refused


def main(seconds: float, seed: int) -> None:
    book = rules.load(rules.default_rules_path())
    chance, starts = random.Random(seed), seeds()
    end, tried, sound, slowest = time.monotonic() + seconds, 0, 0, 0.0
    while time.monotonic() < end:
        text = mutated(chance, chance.choice(starts))
        begin = time.process_time()
        sound += judged(book, text)
        slowest = max(slowest, time.process_time() - begin)
        tried += 1
    print(f"{tried} files, {sound} could be run, the slowest took {slowest:.2f} s of a processor")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
