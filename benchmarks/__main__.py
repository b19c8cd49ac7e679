"""All benchmarks, one after the other: ratios against a rival or limit of the same run."""

import importlib
import pkgutil
from pathlib import Path

for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if not module.name.startswith("_"):
        print(f"\n== {module.name}", flush=True)
        importlib.import_module(f"benchmarks.{module.name}").main()
