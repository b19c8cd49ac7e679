"""What people ask of the lake: the reading queries that the command line and the page share.

Pure functions over a `LakeReader` and a moment (`as_of`: a time, a `seq`, or None for now). Rows come
back as plain dicts fit for JSON: times and dates as ISO strings, unknown (null, NaN, infinite) as None,
nothing rounded. Every function raises LakeError as `LakeReader.table` does.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from lake.reader import LakeReader
from lake.tables import TABLES
from lake.versions import newest
from options import LakeError

AsOf = datetime | int | None
Row = dict[str, Any]

_GREEKS = ("delta", "gamma", "theta", "vega")
_USD_GREEKS = tuple(f"{greek}_usd" for greek in _GREEKS)
_WORST_FIRST = ("missing", "stale", "modelled", "live")
_LEG_KEYS = (
    "con_id",
    "symbol",
    "sec_type",
    "expiry",
    "strike",
    "right",
    "multiplier",
    "quantity",
    "average_cost_usd",
)
_QUOTE_KEYS = ("bid", "ask", "mark", "iv", *_GREEKS, "underlying_price", "quote_time")


def positions(reader: LakeReader, as_of: AsOf = None) -> list[Row]:
    """Every open Position with its legs, money, Greeks and quote state, by underlying and id.

    Money is USD for the whole position; `delta`, `gamma`, `theta` and `vega` are the facts of that name, per
    lot and share, those ending in `_usd` for the whole position. `max_profit_usd` and `max_loss_usd` are
    None when unlimited.
    Value and profit are of the last sane quotes while the present ones do not give any (`is_last_known`).
    `quote_state` is that of the worst leg; a leg that was never quoted is `missing`. `time` is when the
    facts were taken, `quote_age_s` how old a leg's quote was when it was recorded.
    """
    seq = _seq(reader, as_of)
    held = newest(reader.table("strategies", seq), TABLES["strategies"], with_gone=False)
    strategies = _rows(held.sort("underlying", "position"))
    legs = {row["position"]: _json(row["legs"]) or [] for row in strategies}
    facts = _by_key(reader.table("facts", seq), "position", legs)
    con_ids = {leg["con_id"] for group in legs.values() for leg in group}
    quotes = _by_key(reader.table("snapshots", seq), "con_id", con_ids)
    return [
        _position(row, [_leg(leg, quotes.get(leg["con_id"], {})) for leg in legs[key]], facts.get(key, {}))
        for row in strategies
        for key in [row["position"]]
    ]


def decisions(reader: LakeReader, as_of: AsOf = None, limit: int | None = None) -> list[Row]:
    """Decisions, vetoes and shadow decisions, newest first.

    `facts` and `params` are dicts; `state` is the position's rule state before it, as JSON text.
    `intent` is the id of what was done about it, `outcome` that intent's latest state and
    `outcome_reason` the reason it gave; all None when nothing was tried.
    """
    seq = _seq(reader, as_of)
    return _decisions(reader, seq, _newest(reader.table("decisions", seq), limit))


def orders(reader: LakeReader, as_of: AsOf = None, limit: int | None = None) -> list[Row]:
    """The latest event of every order, newest first. An order not of ours has no `order_ref`."""
    latest = newest(reader.table("orders", as_of), TABLES["orders"], with_gone=True)
    return _rows(_newest(latest, limit))


def fills(reader: LakeReader, as_of: AsOf = None, limit: int | None = None) -> list[Row]:
    """The latest report of every execution, newest first: a commission or correction replaces the row.

    `label` is what a trader calls the contract, `combo` for the summary line of a combo.
    """
    return _labelled(reader, _rows(_newest(_latest(reader.table("fills", as_of), "exec_id"), limit)))


def _labelled(reader: LakeReader, fills: list[Row]) -> list[Row]:
    wanted = {row["con_id"] for row in fills}
    known = _by_key(reader.table("contracts"), "con_id", wanted)
    return [{**row, "label": _label(row, known.get(row["con_id"]))} for row in fills]


def _label(fill: Row, contract: Row | None) -> str:
    if fill["is_combo"]:
        return "combo"
    if contract is None:
        return f"contract {fill['con_id']}"
    if contract["strike"] is None:
        return str(contract["symbol"])
    return f"{contract['symbol']} {contract['expiry']} {contract['strike']:g} {contract['right']}"


def alerts(reader: LakeReader, as_of: AsOf = None, limit: int | None = None) -> list[Row]:
    """Alerts, newest first."""
    return _rows(_newest(reader.table("alerts", as_of), limit))


def reconciliations(reader: LakeReader, as_of: AsOf = None, limit: int | None = None) -> list[Row]:
    """Comparisons of our books with the broker's, newest first."""
    return _rows(_newest(reader.table("reconciliations", as_of), limit))


def account_history(reader: LakeReader, as_of: AsOf = None, since: datetime | None = None) -> pl.DataFrame:
    """The rows of the `account` table from `since` on (None: all), oldest first, as a frame."""
    frame = reader.table("account", as_of)
    return _oldest(frame if since is None else frame.filter(pl.col("time") >= since)).collect()


def account_latest(reader: LakeReader, as_of: AsOf = None) -> Row | None:
    """The account as last recorded; None before the first record."""
    return _first(_rows(_newest(reader.table("account", as_of), 1)))


def breaker_state(reader: LakeReader, as_of: AsOf = None) -> Row | None:
    """The owner's last move of the breaker (`state`, `actor`, `reason`, `time`); None when it never moved."""
    moved = reader.table("breaker", as_of).filter(~pl.col("event").str.starts_with("lake_"))
    return _first(_rows(_newest(moved, 1)))


def lake_tables(reader: LakeReader) -> list[Row]:
    """Every table: `name`, `rows`, `files`, `last_seq`, `last_time`, `version` (None: not flushed yet)."""
    return [{key: _plain(value) for key, value in info._asdict().items()} for info in reader.tables()]


def explain(reader: LakeReader, ident: str, as_of: AsOf = None) -> Row:
    """The story of one decision, intent or position.

    `kind` says which of the three `ident` is. `decisions`, `intents` (one row per state), `orders`
    (one row per event) and `fills` are oldest first, and `story` tells them all in the order in which
    they were recorded. Raises LakeError when nothing has that id.
    """
    seq = _seq(reader, as_of)
    told, intents = reader.table("decisions", seq), reader.table("intents", seq)
    for kind in ("decision", "intent", "position"):
        mine = pl.col(kind) == ident
        tried = _rows(_oldest(intents.filter(mine)))
        if kind == "intent":
            causes = {row["decision"] for row in tried if row["decision"]}
            mine = pl.col("decision").is_in(causes)
        decided = _decisions(reader, seq, _oldest(told.filter(mine)))
        if decided or tried:
            break
    else:
        kind, decided, tried = "position", [], []
    return _story(reader, ident, seq, kind, decided, tried)


def _story(reader: LakeReader, ident: str, seq: int, kind: str, decided: list[Row], tried: list[Row]) -> Row:
    names = {ident} if kind == "position" else {row["position"] for row in decided + tried}
    lineage = _rows(_oldest(reader.table("strategies", seq).filter(pl.col("position").is_in(names))))
    for row in lineage:
        row["legs"] = _json(row["legs"]) or []
    if not (lineage or decided or tried):
        raise LakeError(
            f"nothing in the lake has the id {ident!r}; "
            "`optiond decisions` and `optiond positions` list the ids there are"
        )
    for row in tried:
        row["order"] = _json(row["order"])
    refs = {row["order_ref"] for row in tried if row["order_ref"]}
    ours = pl.col("order_ref").is_in(refs)
    sent = _rows(_oldest(reader.table("orders", seq).filter(ours)))
    filled = _labelled(reader, _rows(_oldest(_latest(reader.table("fills", seq).filter(ours), "exec_id"))))
    chapters = [
        ("decision", decided, _decision_line),
        ("intent", tried, _intent_line),
        ("order", sent, _order_line),
        ("fill", filled, _fill_line),
        ("strategy", lineage if kind == "position" else [], _strategy_line),
    ]
    story = [
        {"seq": row["seq"], "time": row["time"], "what": what, "text": line(row)}
        for what, rows, line in chapters
        for row in rows
    ]
    return {
        "id": ident,
        "kind": kind,
        "position": lineage[-1] if lineage else None,
        "decisions": decided,
        "intents": tried,
        "orders": sent,
        "fills": filled,
        "story": sorted(story, key=lambda line: int(line["seq"])),
    }


def _decision_line(row: Row) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['rule'] or 'no rule'} says {row['action'] or 'nothing'} ({row['kind']}){why}"


def _intent_line(row: Row) -> str:
    price = "" if row["limit_price"] is None else f" at {row['limit_price']:.2f}"
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['kind']} {row['state']}{price}{why}"


def _order_line(row: Row) -> str:
    price = "" if row["limit_price"] is None else f" at {row['limit_price']:.2f}"
    why = f": {row['text']}" if row["text"] else ""
    return f"{row['event'] or 'order'} {row['state']}{price}{why}"


def _fill_line(row: Row) -> str:
    quantity = "?" if row["quantity"] is None else f"{row['quantity']:+g}"
    price = "?" if row["price"] is None else f"{row['price']:.2f}"
    return f"{quantity} {row['label']} at {price} USD per share"


def _strategy_line(row: Row) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['event']} as {row['structure']} on {row['underlying']}, {row['lots']} lots{why}"


def _decisions(reader: LakeReader, seq: int, frame: pl.LazyFrame) -> list[Row]:
    """Decision rows in the frame's order, each with what became of it and what it was about."""
    rows = _rows(frame)
    tried = _latest(reader.table("intents", seq), "decision").select("decision", "intent", "state", "reason")
    outcomes = {row["decision"]: row for row in _rows(tried)}
    about = _latest(reader.table("strategies", seq), "position").select("position", "structure", "underlying")
    subjects = {row["position"]: row for row in _rows(about)}
    return [
        _decision(row, outcomes.get(row["decision"], {}), subjects.get(row["position"], {})) for row in rows
    ]


def _decision(row: Row, outcome: Mapping[str, Any], subject: Mapping[str, Any]) -> Row:
    keys = ("position", "rule", "priority", "action", "urgency", "kind", "reason", "explanation")
    return {
        "id": row["decision"],
        "seq": row["seq"],
        "time": row["time"],
        # An older lake has no explanations.
        **{key: row.get(key) for key in keys},
        "params": _json(row["params"]) or {},
        "facts": _json(row["facts"]) or {},
        "state": row["state"],
        "fired": row["fired"] or [],
        "unknown": row["unknown"] or [],
        "rules_revision": row["rules_revision"],
        "structure": subject.get("structure"),
        "underlying": subject.get("underlying"),
        "intent": outcome.get("intent"),
        "outcome": outcome.get("state"),
        "outcome_reason": outcome.get("reason"),
    }


def _leg(leg: Mapping[str, Any], quote: Mapping[str, Any]) -> Row:
    age_s = None
    if quote.get("quote_time") and quote.get("time"):
        recorded, quoted = (datetime.fromisoformat(quote[key]) for key in ("time", "quote_time"))
        age_s = (recorded - quoted).total_seconds()
    return {
        **{key: leg.get(key) for key in _LEG_KEYS},
        **{key: quote.get(key) for key in _QUOTE_KEYS},
        "quote_state": quote.get("quote_state") or "missing",
        "quote_age_s": age_s,
    }


def _position(row: Row, legs: Sequence[Row], facts: Mapping[str, Any]) -> Row:
    states = {leg["quote_state"] for leg in legs}
    is_last_known = facts.get("profit_usd") is None and facts.get("last_profit_usd") is not None
    prefix = "last_" if is_last_known else ""
    return {
        "id": row["position"],
        "structure": row["structure"],
        "underlying": row["underlying"],
        "lots": row["lots"],
        "legs": list(legs),
        "net_credit_usd": row["net_credit_usd"],
        "max_profit_usd": row["max_profit_usd"],
        "max_loss_usd": row["max_loss_usd"],
        "market_value_usd": facts.get(f"{prefix}market_value_usd"),
        "profit_usd": facts.get(f"{prefix}profit_usd"),
        "profit": facts.get(f"{prefix}profit"),
        "is_last_known": is_last_known,
        **{greek: facts.get(greek) for greek in (*_GREEKS, *_USD_GREEKS)},
        "dte": facts.get("dte"),
        "quote_state": next((state for state in _WORST_FIRST if state in states), "missing"),
        "underlying_price": facts.get("underlying_price"),
        "entry_time": row["entry_time"],
        "strategy": row["strategy"],
        "time": facts.get("time"),
    }


def _seq(reader: LakeReader, as_of: AsOf) -> int:
    """`as_of` as one seq, so that several tables make one picture."""
    if as_of is None:
        return reader.seq
    return reader.seq_at(as_of) if isinstance(as_of, datetime) else as_of


def _oldest(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.sort("seq", maintain_order=True)


def _newest(frame: pl.LazyFrame, limit: int | None) -> pl.LazyFrame:
    newest = _oldest(frame).reverse()
    return newest if limit is None else newest.head(limit)


def _latest(frame: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """The last recorded row of each `key`."""
    return _oldest(frame).unique(subset=key, keep="last", maintain_order=True)


def _by_key(frame: pl.LazyFrame, key: str, wanted: Iterable[Any]) -> dict[Any, Row]:
    """The last recorded row of each `wanted` key. Looks for where they are first, in two columns only, so
    that the many columns of a long history are not read."""
    mine = frame.filter(
        pl.col(key).is_in(pl.Series(list(wanted), dtype=frame.collect_schema()[key]).implode())
    )
    newest = mine.group_by(key).agg(pl.col("seq").max()).collect()["seq"]
    recent = mine.filter(pl.col("seq") >= newest.min()) if newest.len() else mine
    return {row[key]: row for row in _rows(_latest(recent, key))}


def _rows(frame: pl.LazyFrame) -> list[Row]:
    return [{key: _plain(value) for key, value in row.items()} for row in frame.collect().to_dicts()]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value


def _json(text: str | None) -> Any:
    """A JSON column's value with NaN and infinities as None."""
    return json.loads(text, parse_constant=lambda _: None) if text else None


def _first(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None
