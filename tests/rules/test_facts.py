"""The catalogue is complete and means one thing per name."""

import polars as pl

from rules import CATALOGUE, FACTS, Unit
from rules.facts import AGE_OF, SOURCES, Source

NAMED_BY_THE_DESIGN = """
profit profit_usd peak_profit dte days_held delta gamma theta vega delta_usd gamma_usd theta_usd vega_usd
iv iv_change iv_rank iv_percentile underlying_price underlying_change_1h underlying_change_1d vix vix_change
short_strike_distance extrinsic days_to_earnings days_to_ex_dividend quote_age spread_pct regime structure
strategy underlying lots net_credit_usd market_value_usd max_profit_usd max_loss_usd buying_power_used
quote_state positions_same_underlying book_delta_usd book_gamma_usd book_vega_usd book_theta_usd
book_var_usd book_buying_power_used book_concentration book_positions book_positions_one_underlying
"""


def test_every_fact_of_the_design_is_there_once() -> None:
    assert sorted(fact.name for fact in CATALOGUE) == sorted(NAMED_BY_THE_DESIGN.split())
    assert len(FACTS) == len(CATALOGUE)


def test_text_facts_are_text_and_the_others_are_numbers() -> None:
    for fact in CATALOGUE:
        assert (fact.dtype is pl.String) == (fact.unit is Unit.TEXT), fact.name
        assert fact.dtype in (pl.String, pl.Float64, pl.Int64)
        assert fact.meaning and fact.computed and fact.stale_after_s > 0


def test_names_carry_their_unit_and_scope() -> None:
    for fact in CATALOGUE:
        if fact.name.endswith("_usd"):
            assert fact.unit is Unit.USD
        if fact.name.startswith("book_"):
            assert fact.scope == "book"


def test_every_fact_says_what_it_is_made_of_and_every_source_how_old_it_is() -> None:
    assert SOURCES.keys() == FACTS.keys()
    assert set(AGE_OF) == set(Source) - {Source.HOLDINGS}
