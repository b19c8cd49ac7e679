"""Ground floor: what an option is.

Contracts, legs, structures, payoffs, money and tick types, pricing. Pure: no clock, no I/O, imports
nothing of ours, and every other room may come in.
"""

from options.clock import NEW_YORK, Clock
from options.contract import (
    ConId,
    Contract,
    Leg,
    Right,
    SecType,
    contract_fields,
    contract_from_fields,
    days_to_expiry,
)
from options.errors import (
    BrokerError,
    GateRefusal,
    LakeError,
    OptiondError,
    RuleError,
    SettingsError,
)
from options.money import UsdPerContract, UsdPerShare, per_contract, per_share
from options.payoff import Payoff, net_credit_usd, payoff, value_at_expiry
from options.pricing import Greeks, greeks, implied_vol
from options.structure import SINGLE_LEG, Grouping, Structure, classify, group_legs, lots_of
from options.ticks import Toward, round_to_tick

__all__ = [
    "NEW_YORK",
    "SINGLE_LEG",
    "BrokerError",
    "Clock",
    "ConId",
    "Contract",
    "GateRefusal",
    "Greeks",
    "Grouping",
    "LakeError",
    "Leg",
    "OptiondError",
    "Payoff",
    "Right",
    "RuleError",
    "SecType",
    "SettingsError",
    "Structure",
    "Toward",
    "UsdPerContract",
    "UsdPerShare",
    "classify",
    "contract_fields",
    "contract_from_fields",
    "days_to_expiry",
    "greeks",
    "group_legs",
    "implied_vol",
    "lots_of",
    "net_credit_usd",
    "payoff",
    "per_contract",
    "per_share",
    "round_to_tick",
    "value_at_expiry",
]
