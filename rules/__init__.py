"""Rules: from a trader's YAML to decisions.

`load` checks a rules file completely (names, units, examples); `step` applies it once to all positions,
as a pure function of facts, remembered state and time. Live, replay and what-if call the same `step`.
No clock, no I/O except `load`. Any room above may come in.
"""

from rules.decide import DecideRun, decide_lines
from rules.distance import NEAR
from rules.explanation import Explanation, explain
from rules.facts import CATALOGUE, FACTS, Fact, Unit
from rules.fold import step
from rules.lints import Lint, ended_mutes, lint
from rules.loading import default_rules_path, load, parse, parse_stored, revision_of
from rules.mutes import ended, mute_of, told
from rules.plan import DECISIONS
from rules.problem import Problem, RulesInvalid
from rules.rulebook import Mute, Rule, Rulebook, patience_s, reads_market
from rules.state import RuleState, initial_state

__all__ = [
    "CATALOGUE",
    "DECISIONS",
    "FACTS",
    "NEAR",
    "DecideRun",
    "Explanation",
    "Fact",
    "Lint",
    "Mute",
    "Problem",
    "Rule",
    "RuleState",
    "Rulebook",
    "RulesInvalid",
    "Unit",
    "decide_lines",
    "default_rules_path",
    "ended",
    "ended_mutes",
    "explain",
    "initial_state",
    "lint",
    "load",
    "mute_of",
    "parse",
    "parse_stored",
    "patience_s",
    "reads_market",
    "revision_of",
    "step",
    "told",
]
