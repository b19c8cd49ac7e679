"""The benchmarks of a few minutes, one after the other: ratios against a rival or limit of the same run.

Longer ones are run by name: `memory`, `flushes`, `year` and then `lake_year` and `analytics`.
"""

import importlib

NAMES = ("beat", "facts", "gateway", "ingest", "lake", "model_market", "rules", "traces", "upkeep", "what_if")

for name in NAMES:
    print(f"\n== {name}", flush=True)
    importlib.import_module(f"benchmarks.{name}").main()
