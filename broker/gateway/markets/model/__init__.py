"""The model market: a seeded world of shares, their options and a volatility index.

`market` is what the gateway sees; `course` and `paths` say where prices are, `surface` and `board` what
options are worth there, `spreads` how they are quoted, `scenarios` what may befall them all.
"""

from broker.gateway.markets.model.market import DEFAULT_START, ModelMarket

__all__ = ["DEFAULT_START", "ModelMarket"]
