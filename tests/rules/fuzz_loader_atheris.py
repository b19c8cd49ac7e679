"""The loader fuzzed with atheris, which looks for texts that reach new branches of the loader.

`python -m tests.rules.fuzz_loader_atheris MINUTES [SEED] [FOLDER]`. atheris is not among the dependencies, as
it does not build everywhere: `pip install atheris` first.
"""

import random
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit(
        "atheris is not installed: pip install atheris, or run tests.rules.fuzz_loader, which does without"
    )

with atheris.instrument_imports(include=["rules"]):
    from tests.rules.fuzz_loader import MEMORY_MB, judged, mutated, seeds

_LONGEST_S = 10.0
"""Counting branches slows the loader down; `fuzz_loader` holds it to the second."""


def main() -> None:
    """libFuzzer ends the process: with an error when there is a finding."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else "build/fuzz")
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    starts = seeds()
    for number, text in enumerate(starts):
        (corpus / f"seed-{number}").write_text(text, encoding="utf-8")

    def one(data: bytes) -> None:
        judged(data.decode("utf-8", "replace"), longest_s=_LONGEST_S)

    def mutator(data: bytes, longest: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.3:
            return bytes(atheris.Mutate(data, longest))
        text = mutated(chance, data.decode("utf-8", "replace") or "a", chance.choice(starts))
        return text.encode("utf-8", "replace")[:longest]

    options = [f"-max_total_time={60 * minutes:.0f}", f"-seed={seed}", f"-rss_limit_mb={MEMORY_MB}"]
    options += ["-timeout=300", "-max_len=50000", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
