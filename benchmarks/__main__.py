"""The benchmarks of a few minutes, one after the other: ratios against a rival or limit of the same run.

Longer ones are run by name: `flushes`, `year` and then `lake_year` and `analytics`.
"""

import importlib

for name in ("facts", "gateway", "lake", "model_market", "rules", "traces", "upkeep", "what_if"):
    print(f"\n== {name}", flush=True)
    importlib.import_module(f"benchmarks.{name}").main()
