"""What the rules know of a position right now, for who asks the running daemon."""

from typing import Any

from fastapi import FastAPI

from daemon.engine import Engine
from rules import RuleState
from rules.scalar import known
from rules.state import BOOK
from trading.decision import Moment


def serve_moment(app: FastAPI, engine: Engine) -> None:
    """`GET /rules/moment?position=…`: what it takes to explain the position ("": the book), by any rules."""

    @app.get("/rules/moment")
    async def moment(position: str) -> dict[str, Any]:
        return moment_now(engine, position)


def moment_now(engine: Engine, position: str) -> dict[str, Any]:
    """Facts and market of the last beat with what is remembered since, as plain data.

    `facts` is None when the position was not among them, or there was no beat yet. Keys as in
    `lake.rule_moments.rule_moment`.
    """
    picture, book = engine.picture, engine.rules.book
    answer: dict[str, Any] = {"revision": book.revision, "rules": book.text, "facts": None}
    if picture is None or (position != BOOK and position not in picture.facts["position"]):
        return answer
    state = engine.state.rule_state
    seen = Moment(picture.time, book, state, picture.facts, picture.market)
    facts = {"position": BOOK} if position == BOOK else seen.seen(position)
    mine = state.frame.filter(state.frame["position"].is_in([BOOK, position]))
    return {
        **answer,
        "seq": None,
        "time": picture.time.isoformat(),
        "facts": {name: _plain(value) for name, value in facts.items()},
        "market": {name: _plain(value) for name, value in picture.market.items()},
        "state": RuleState(mine).to_json(),
    }


def _plain(value: Any) -> Any:
    return known(value) if isinstance(value, float) else value
