"""The walk goes from the mid towards the natural price, never past its worst, never without a quote."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading.combo import ComboQuote
from trading.price_walk import CALM, URGENT, Walk, WalkMove, next_due, next_move, start_walk

NOON = datetime(2026, 2, 3, 17, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_walk_starts_at_the_mid_rounded_in_our_favour() -> None:
    walk = start_walk(ComboQuote(bid=1.00, ask=1.11, tick=0.01), CALM, NOON)
    assert walk.limit == 1.05
    assert walk.worst == 1.11


def test_a_credit_is_rounded_in_our_favour_too() -> None:
    walk = start_walk(ComboQuote(bid=-1.11, ask=-1.00, tick=0.01), CALM, NOON)
    assert walk.limit == -1.06


def test_a_step_waits_its_time_and_is_at_least_a_tick() -> None:
    quote = ComboQuote(bid=1.00, ask=1.10, tick=0.01)
    walk = start_walk(quote, CALM, NOON)
    assert next_move(walk, quote, CALM, at(29.9)) == (WalkMove.HOLD, walk)
    move, stepped = next_move(walk, quote, CALM, at(30))
    assert (move, stepped.limit, stepped.stepped) == (WalkMove.STEP, 1.06, at(30))


def test_a_wide_market_is_stepped_by_a_twentieth_of_its_spread() -> None:
    quote = ComboQuote(bid=1.00, ask=2.00, tick=0.01)
    _, stepped = next_move(start_walk(quote, CALM, NOON), quote, CALM, at(30))
    assert stepped.limit == 1.55


def test_without_a_live_quote_the_limit_stays_where_it_is() -> None:
    quote = ComboQuote(bid=1.00, ask=1.10, tick=0.01)
    walk = start_walk(quote, CALM, NOON)
    assert next_move(walk, None, CALM, at(120)) == (WalkMove.HOLD, walk)


def test_a_calm_walk_gives_up_when_patience_ends_and_an_urgent_one_takes_the_market() -> None:
    quote = ComboQuote(bid=1.00, ask=1.40, tick=0.01)
    calm, urgent = start_walk(quote, CALM, NOON), start_walk(quote, URGENT, NOON)
    assert next_move(calm, quote, CALM, at(300))[0] is WalkMove.GIVE_UP
    assert next_move(urgent, None, URGENT, at(60))[0] is WalkMove.GIVE_UP
    move, last = next_move(urgent, ComboQuote(bid=2.0, ask=2.2, tick=0.01), URGENT, at(60))
    assert (move, last.limit) == (WalkMove.STEP, 2.2)


@given(
    bid=st.integers(-500, 500),
    width=st.integers(0, 300),
    drifts=st.lists(st.integers(-100, 100), max_size=20),
)
def test_a_calm_walk_never_goes_down_nor_past_its_worst_price(
    bid: int, width: int, drifts: list[int]
) -> None:
    quote = ComboQuote(bid / 100, (bid + width) / 100, 0.01)
    walk = start_walk(quote, CALM, NOON)
    worst = walk.worst
    assert walk.limit <= quote.mid + 1e-9
    for index, drift in enumerate(drifts, start=1):
        moved = ComboQuote(quote.bid + drift / 100, quote.ask + drift / 100, 0.01)
        move, following = next_move(walk, moved, CALM, at(30 * index))
        if move is WalkMove.GIVE_UP:
            assert index * 30 >= CALM.patience_s
            break
        assert walk.limit <= following.limit <= worst + 1e-9
        if following.limit > walk.limit:
            assert following.limit <= moved.ask + 1e-9
        walk = following


def test_the_next_due_moment_is_the_sooner_of_step_and_patience() -> None:
    assert next_due(Walk(NOON, at(280), 1.0, 2.0), CALM) == at(300)
    assert next_due(Walk(NOON, NOON, 1.0, 2.0), CALM) == at(30)
