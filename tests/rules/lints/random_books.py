"""Rulebooks as nobody would write them, and facts close to their thresholds."""

import random
import re
from typing import Any

import rules
from rules.facts import NEVER_KNOWN, Unit
from rules.rulebook import Value

NUMBERS = {
    "profit": ("{}%", 0.01, (-200, -50, 0, 20, 40, 50, 80)),
    "peak_profit": ("{}%", 0.01, (0, 20, 40, 50, 80)),
    "iv_change": ("{}%", 0.01, (-100, -30, 0, 50)),
    "dte": ("{}d", 1.0, (0, 1, 2, 7, 14, 21, 25)),
    "delta": ("{}", 1.0, (-0.4, -0.3, 0, 0.3, 0.4)),
    "gamma": ("{}", 1.0, (-0.1, 0, 0.1)),
    "max_loss_usd": ("${}", 1.0, (0, 500, 1000)),
    "iv_percentile": ("{}", 1.0, (0, 30, 70, 100)),
    "vix": ("{}vol", 1.0, (0, 15, 25, 35)),
    "lots": ("{}", 1.0, (0, 1, 2, 3)),
}
STRUCTURES = ("iron_condor", "short_put", "short_call", "long_call", "stock")
REGIMES = ("crash", "normal")
OPERATORS = ("<", "<=", ">", ">=", ">=", "<=", "==", "!=")


class Writer:
    """Writes one random rules file."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.params: list[tuple[str, str, str]] = []

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def number(self, name: str) -> str:
        form, _, values = NUMBERS[name]
        value = self.pick(*values)
        text = form.format(abs(value))
        return f"-{text}" if value < 0 else text

    def threshold(self, name: str) -> str:
        if self.random.random() < 0.3:
            parameter = f"p{len(self.params)}"
            self.params.append((parameter, self.number(name), self.number(name)))
            return f"${parameter}"
        return self.number(name)

    def comparison(self) -> str:
        kind = self.random.random()
        if kind < 0.12:
            word = self.pick(*STRUCTURES)
            return f"structure {self.pick('==', '!=')} '{word}'"
        if kind < 0.16:
            return f"regime {self.pick('==', '!=')} '{self.pick(*REGIMES)}'"
        if kind < 0.24:
            operator = self.pick("<", "<=", ">", ">=")
            return f"profit {operator} peak_profit * {self.pick('40%', '50%', '90%')}"
        if kind < 0.27:
            one, other = self.pick("profit", "peak_profit"), self.pick("profit", "iv_change")
            return f"{one} {self.pick(*OPERATORS)} {other}"
        name = self.pick(*NUMBERS)
        if kind < 0.37:
            return f"abs({name}) {self.pick(*OPERATORS)} {self.threshold(name)}"
        if kind < 0.41:
            other = self.pick("profit", "iv_change", "peak_profit")
            sign = self.pick("+", "-")
            return f"profit {sign} {other} {self.pick(*OPERATORS)} {self.number('profit')}"
        if kind < 0.44:
            return f"max_loss_usd / lots {self.pick(*OPERATORS)} {self.number('max_loss_usd')}"
        if kind < 0.47:
            call = self.pick("min", "max")
            return f"{call}(delta, gamma) {self.pick(*OPERATORS)} {self.number('delta')}"
        return f"{name} {self.pick(*OPERATORS)} {self.threshold(name)}"

    def condition(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.3:
            made = self.comparison()
            return f"not ({made})" if self.random.random() < 0.1 else made
        parts = [self.condition(depth - 1) for _ in range(self.random.randint(2, 3))]
        joined = f" {self.pick('and', 'and', 'or')} ".join(parts)
        return f"({joined})"

    def rule(self, priority: int) -> str:
        self.params = []
        lines = [f"  - id: rule_{priority}", f"    priority: {priority}"]
        if self.random.random() < 0.25:
            lines.append("    tiers:")
            for _ in range(self.random.randint(2, 3)):
                once = f", once: {self.pick('true', 'false')}"
                lines.append(f'      - {{when: "{self.condition(1)}", do: {{reduce: half}}{once}}}')
        else:
            lines += [f'    when: "{self.condition()}"', "    do: {close: mid}"]
            if self.random.random() < 0.15:
                lines.append(f'    clear_when: "{self.condition(1)}"')
        if self.random.random() < 0.15:
            lines.append(f"    for: {self.pick('30s', '60s')}")
        if self.random.random() < 0.15:
            lines.append("    cooldown: 1m")
        if self.random.random() < 0.15:
            lines.append("    unknown: fire")
        if self.random.random() < 0.1:
            lines.append(f"    mode: {self.pick('shadow', 'off')}")
        if self.params:
            base = ", ".join(f"{name}: {value}" for name, value, _ in self.params)
            lines.append(f"    params: {{{base}}}")
            if self.random.random() < 0.5:
                target = self.pick("iron_condor", "short_put", "crash", "IWM")
                chosen = [one for one in self.params if self.pick(True, False)]
                body = ", ".join(f"{name}: {value}" for name, _, value in chosen)
                lines += ["    overrides:", f"      {target}: {{{body}}}"] if body else []
        return "\n".join(lines)

    def book(self, rules_: int) -> str:
        return "rules:\n" + "\n".join(self.rule(priority) for priority in range(1, rules_ + 1)) + "\n"


def facts(chance: random.Random, unknown: float, consistent: bool = False) -> dict[str, Value]:
    """Facts of an open position: near the thresholds, within the catalogue's limits. `consistent`: no profit
    is above its peak, as the rules see it once they have folded the peak."""
    row: dict[str, Value] = {
        "structure": chance.choice(STRUCTURES),
        "regime": chance.choice((*REGIMES, "low_vol")),
        "underlying": chance.choice(("IWM", "SPY")),
    }
    for name, (_, scale, values) in NUMBERS.items():
        fact = rules.FACTS[name]
        value = chance.choice(values) * scale
        if not fact.dtype.is_integer():
            value += chance.choice((0.0, 0.0, 0.01, -0.01, chance.uniform(-1, 1)))
        else:
            value += chance.choice((0.0, 1.0, -1.0))
        value = max(value, fact.low if fact.low is not None else value)
        row[name] = min(value, fact.high if fact.high is not None else value)
    if consistent or chance.random() < 0.7:
        row["peak_profit"] = max(row["profit"], row["peak_profit"])
    if row["structure"] == "stock":
        row["gamma"] = 0.0
    for name in row:
        lacking = row["structure"] in NEVER_KNOWN.get(name, ())
        if lacking or chance.random() < unknown:
            row[name] = None
    return row


def sixty_rules() -> str:
    """Five times the twelve, without their examples: most of the copies can never win."""
    head, body = rules.default_rules_path().read_text(encoding="utf-8").split("rules:\n", 1)
    lines: list[str] = []
    for copy in range(5):
        is_example = False
        for line in body.splitlines():
            is_example = line.startswith(("    examples:", "      ")) if is_example else "examples:" in line
            if not is_example:
                line = re.sub(r"^(  - id: \w+)", rf"\1_{copy}", line)  # noqa: PLW2901
                lines.append(
                    re.sub(r"^    priority: (\d+)", lambda m: f"    priority: {12 * copy + int(m[1])}", line)  # noqa: B023
                )
    return head + "rules:\n" + "\n".join(lines) + "\n"


assert {rules.FACTS[name].unit for name in NUMBERS} >= {Unit.RATIO, Unit.DAYS, Unit.NUMBER}
