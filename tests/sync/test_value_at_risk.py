"""Value at risk against what drawn days lose."""

import numpy as np
import pytest

from sync.value_at_risk import CONFIDENCE_Z, value_at_risk

DAYS = 200_000


def _moves(underlyings: int, seed: int) -> np.ndarray:
    """A covariance with returns of about 1.5 % and vol moves of about two points, that fall together."""
    chance = np.random.default_rng(seed)
    factors = 0.3 * chance.normal(size=(2 * underlyings, 2 * underlyings)) + np.eye(2 * underlyings)
    factors[:underlyings] *= 0.012
    factors[underlyings:] *= 1.5
    factors[underlyings:, 0] -= 1.0
    return factors @ factors.T


def _drawn(delta: np.ndarray, gamma: np.ndarray, vega: np.ndarray, covariance: np.ndarray) -> float:
    chance = np.random.default_rng(5)
    days = chance.multivariate_normal(np.zeros(len(covariance)), covariance, DAYS, method="cholesky")
    returns, vols = days[:, : len(delta)], days[:, len(delta) :]
    change = returns @ delta + returns**2 @ (50.0 * gamma) + vols @ vega
    return max(0.0, -float(np.quantile(change, 0.05)))


@pytest.mark.parametrize("underlyings", [1, 8])
@pytest.mark.parametrize(
    ("delta", "gamma", "vega"),
    [(1e4, 0.0, 0.0), (0.0, -300.0, 0.0), (3e3, -300.0, -200.0), (3e3, 200.0, 300.0), (-5e3, -800.0, 0.0)],
)
def test_it_is_what_one_drawn_day_in_twenty_loses(
    underlyings: int, delta: float, gamma: float, vega: float
) -> None:
    chance, covariance = np.random.default_rng(underlyings), _moves(underlyings, 11)
    exposures = [
        value * chance.uniform(0.5, 1.5, underlyings) * chance.choice([1.0, sign], underlyings)
        for value, sign in ((delta, -1.0), (gamma, 1.0), (vega, 1.0))
    ]
    found = value_at_risk(*exposures, covariance)
    assert found == pytest.approx(_drawn(*exposures, covariance), rel=0.04)


def test_delta_alone_is_the_quantile_of_the_normal_distribution() -> None:
    covariance = np.diag([0.02**2, 1.0])
    one = (np.array([1e5]), np.zeros(1), np.zeros(1))
    assert value_at_risk(*one, covariance) == pytest.approx(CONFIDENCE_Z * 2_000)


def test_what_gains_whatever_happens_has_none_and_neither_has_an_empty_book() -> None:
    nothing = np.zeros(0)
    assert value_at_risk(nothing, nothing, nothing, np.zeros((0, 0))) == 0.0
    none = np.zeros(1)
    assert value_at_risk(none, np.array([300.0]), none, np.diag([1e-4, 1.0])) == 0.0


def test_opposite_bets_on_what_moves_together_cancel_out() -> None:
    together = np.full((2, 2), 1e-4)
    covariance = np.block([[together, np.zeros((2, 2))], [np.zeros((2, 2)), np.eye(2)]])
    none = np.zeros(2)
    hedged = value_at_risk(np.array([1e5, -1e5]), none, none, covariance)
    assert hedged == pytest.approx(0.0, abs=1e-6)


def test_what_is_not_known_makes_it_unknown_unless_nothing_depends_on_it() -> None:
    covariance = np.diag([1e-4, np.nan])
    one, none = np.array([1e5]), np.zeros(1)
    assert value_at_risk(one, none, none, covariance) is not None
    assert value_at_risk(one, none, np.array([10.0]), covariance) is None
    assert value_at_risk(np.array([np.nan]), none, none, np.eye(2)) is None
    assert value_at_risk(one, np.array([np.nan]), none, np.eye(2)) is None
    assert value_at_risk(one, none, none, np.diag([np.nan, 1.0])) is None
