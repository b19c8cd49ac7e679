"""The twelve rules in durable_rules, run by `rule_rivals` in a process of its own: conditions and facts in,
decisions and seconds out, as JSON."""

import json
import sys
import time
from typing import Any

try:
    from durable.engine import Host
except ImportError:
    sys.exit("durable_rules is not installed: make setup brings it with the other tools of development")

_SIGNS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def main() -> None:
    conditions, facts = json.load(sys.stdin)
    won: list[str | None] = []

    def deciding(rule: str | None) -> Any:
        return lambda _: won.append(rule)

    rules: dict[str, Any] = {}
    for priority, (rule, alternatives) in enumerate(conditions, start=1):
        for place, parts in enumerate(alternatives):
            tests = [_test(*part) for part in parts]
            matching = tests[0] if len(tests) == 1 else {"$and": tests}
            rules[f"{rule}_{place}"] = {"all": [{"m": matching}], "pri": priority, "run": deciding(rule)}
    # What no rule takes would stay and be looked at again with every later event.
    rules["none"] = {"all": [{"m": {"$gte": {"number": 0}}}], "pri": 99, "run": deciding(None)}
    host = Host({"twelve": rules})
    begun = time.perf_counter()
    for number, row in enumerate(facts):
        host.post("twelve", {**row, "number": number, "id": number + 1})
    seconds = time.perf_counter() - begun
    print(json.dumps({"decisions": won, "seconds": seconds}), flush=True)


def _test(fact: str, sign: str, value: Any) -> dict[str, Any]:
    return {fact: value} if sign == "==" else {_SIGNS[sign]: {fact: value}}


if __name__ == "__main__":
    main()
