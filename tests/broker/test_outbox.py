"""Orders overtake everything, and no second ever holds more messages than the broker allows."""

from hypothesis import given
from hypothesis import strategies as st

from broker.outbox import Outbox

SUBSCRIBE = "1\x0011\x00{}\x00"
PLACE = "3\x00{}\x00"
CANCEL = "4\x001\x00{}\x00"
ASK = "9\x008\x00{}\x00"


def drain_all(outbox: Outbox, now_s: float) -> list[tuple[float, str]]:
    sent = [(now_s, message) for message in outbox.release(now_s)]
    while (due_s := outbox.due_s()) is not None:
        sent += [(due_s, message) for message in outbox.release(due_s)]
    return sent


def test_an_order_overtakes_two_hundred_waiting_subscriptions() -> None:
    outbox = Outbox(rate_per_s=40, burst=10)
    for number in range(200):
        outbox.put(SUBSCRIBE.format(number))
    assert len(outbox.release(0.0)) == 10
    outbox.put(ASK.format(1))
    outbox.put(PLACE.format(900))
    outbox.put(CANCEL.format(901))
    due_s = outbox.due_s()
    assert due_s is not None and due_s <= 0.025 + 1e-9
    sent = [message for _, message in drain_all(outbox, due_s)]
    assert sent[:3] == [PLACE.format(900), CANCEL.format(901), ASK.format(1)]
    assert sent[3:] == [SUBSCRIBE.format(number) for number in range(10, 200)]


def test_without_a_rate_everything_goes_at_once_and_in_order() -> None:
    outbox = Outbox(rate_per_s=None)
    outbox.put(PLACE.format(1))
    outbox.put(CANCEL.format(1))
    assert outbox.release(0.0) == [PLACE.format(1), CANCEL.format(1)]
    assert outbox.due_s() is None


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300).map(sorted))
def test_no_second_holds_more_than_fifty_messages(arrivals_s: list[float]) -> None:
    outbox = Outbox(rate_per_s=40, burst=10)
    sent: list[float] = []
    for at_s in arrivals_s:
        while (due_s := outbox.due_s()) is not None and due_s <= at_s:
            sent += [due_s for _ in outbox.release(due_s)]
        outbox.put(SUBSCRIBE.format(at_s))
        sent += [at_s for _ in outbox.release(at_s)]
    sent += [at_s for at_s, _ in drain_all(outbox, arrivals_s[-1])]
    assert len(sent) == len(arrivals_s)
    for first, at_s in enumerate(sent):
        assert sum(1 for other in sent[first:] if other < at_s + 1.0 - 1e-6) <= 50
