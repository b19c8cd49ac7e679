"""What happens to a made-up account on one day, as rows of the lake's tables with the commit they belong to.

Every opening and closing is told as the daemon tells it: a decision, the intent's states, the broker's
order events, the executions of the combo and its legs (again once their commissions are known), the
holdings changed and the event of the Position. Column `commit` is the number of the day's commit.
"""

import json
from datetime import datetime

import polars as pl

from benchmarks.account import NAME, Account, legs

_STATES = ("intended", "sent", "working", "filled", "settled")
_ORDER_STATES = ("sent", "working", "working", "filled")
_RULES = ("take_profit", "stop_loss", "time_exit", "delta_breach")
_PICTURE_EVERY_S = 3600


def happenings(account: Account, day: int, moments: list[datetime]) -> dict[str, pl.DataFrame]:
    """The day's rows by table, without quotes, facts, account figures and rule state."""
    opened, closed = account.opened(day), account.closed(day)
    traded = [_traded(closed, "close", len(moments))]
    if day > 0:
        traded.append(_traded(opened, "open", len(moments)))
    trades = pl.concat(traded).with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))
    day_text = f"{account.days[day]:%Y%m%d}"
    trades = trades.with_columns(
        intent=pl.format(f"opt-{day_text}-{{}}", pl.col("n").cast(pl.String).str.zfill(4)),
        decision=pl.when(pl.col("kind") == "close").then(pl.format(f"dec-{day_text}-{{}}", "n")),
        created=pl.Series([moments[n].isoformat() for n in trades["commit"]], dtype=pl.String),
    )
    rows = {
        "contracts": _contracts(opened),
        "strategies": _strategies(trades, opened if day == 0 else opened.clear(), account, day),
        "decisions": _decisions(trades, account, day),
        "intents": _intents(trades),
        "orders": _orders(trades),
        "fills": _fills(trades, moments),
        "positions": _positions(account, day, trades, moments),
        "reconciliations": _reconciliations(day_text, len(moments)),
        "alerts": _alerts(trades, day_text),
        "settings_revisions": pl.DataFrame({"commit": [0], "revision": [day_text], "text": ["{}"]}),
    }
    if day == 0:
        rows["rules_revisions"] = pl.DataFrame(
            {"commit": [0], "revision": ["8bf3a9ff4b5c"], "text": ["rules: []"]}
        )
        rows["breaker"] = pl.DataFrame(
            {"commit": [0], "event": ["armed"], "state": ["armed"], "actor": ["owner"], "reason": ["start"]}
        )
    return {name: frame for name, frame in rows.items() if frame.height}


def rule_state(held: pl.DataFrame, moment: datetime, turn: int = 0, turns: int = 1) -> pl.DataFrame:
    """Rows of `rule_state` as the daemon writes them, of every position whose `turn` it is of so many."""
    mine = held.filter(pl.col("number") % turns == turn % turns)
    texts = [
        json.dumps(
            {
                "latch:take_profit:0": number % 2 == 0,
                "last:take_profit": moment.isoformat(),
                "track:peak_profit": number % 89 / 100,
                "track:peak_delta": number % 31 / 100,
            }
        )
        for number in mine["number"]
    ]
    return mine.select("position", revision=pl.lit("8bf3a9ff4b5c"), state=pl.Series(texts, dtype=pl.String))


def figures(day: int, moment: int) -> pl.DataFrame:
    """The row of `account`."""
    nlv = 25_000_000.0 + 10_000.0 * day + 100.0 * moment
    return pl.DataFrame(
        {
            "account": [NAME],
            "nlv_usd": [nlv],
            "cash_usd": [nlv * 0.6],
            "initial_margin_usd": [nlv * 0.3],
            "maintenance_margin_usd": [nlv * 0.28],
            "available_funds_usd": [nlv * 0.7],
            "buying_power_usd": [nlv * 2.8],
            "realized_pnl_usd": [100.0 * moment],
            "unrealized_pnl_usd": [250.0 * moment],
            "book_delta_usd": [1_000.0 - moment],
        }
    )


def _traded(positions: pl.DataFrame, kind: str, commits: int) -> pl.DataFrame:
    return positions.with_columns(kind=pl.lit(kind), commit=pl.col("number") * 7 % (commits - 2))


def _each(trades: pl.DataFrame, column: str, values: tuple[str, ...]) -> pl.DataFrame:
    """Every trade once per value, in the values' order, the later ones a commit or two later."""
    step = pl.int_range(pl.len()) % len(values)
    return trades.select(
        pl.all().repeat_by(len(values)).explode(empty_as_null=True, keep_nulls=True)
    ).with_columns(
        pl.Series(column, list(values) * trades.height, dtype=pl.String),
        commit=pl.col("commit") + step.clip(0, 2),
        step=step,
    )


def _with_legs(positions: pl.DataFrame) -> pl.DataFrame:
    """The positions with `legs`, a list of what JSON of a leg holds."""
    each = legs(positions).select(
        "position",
        pl.struct(
            "con_id",
            "symbol",
            "strike",
            "right",
            "quantity",
            pl.col("quantity").sign().alias("ratio"),
            pl.col("average_cost_usd").round(2),
            pl.col("expiry").cast(pl.String),
            pl.lit("OPT").alias("sec_type"),
            pl.lit(100).alias("multiplier"),
            pl.col("symbol").alias("trading_class"),
            pl.lit(0.01).alias("min_tick"),
        ).alias("legs"),
    )
    lists = each.group_by("position", maintain_order=True).agg("legs")
    return positions.join(lists, on="position", how="left", maintain_order="left")


def _contracts(opened: pl.DataFrame) -> pl.DataFrame:
    return legs(opened).select(
        pl.lit(0).alias("commit"),
        "con_id",
        "symbol",
        "expiry",
        "strike",
        "right",
        sec_type=pl.lit("OPT"),
        multiplier=pl.lit(100),
        exchange=pl.lit("SMART"),
        currency=pl.lit("USD"),
        trading_class=pl.col("symbol"),
        min_tick=pl.lit(0.01),
    )


def _strategies(trades: pl.DataFrame, adopted: pl.DataFrame, account: Account, day: int) -> pl.DataFrame:
    told = pl.concat(
        [
            adopted.with_columns(kind=pl.lit("adopted"), commit=pl.lit(0, pl.Int64)),
            trades.select(*adopted.columns, "kind", pl.col("commit") + 2),
        ]
    )
    event = pl.col("kind").replace({"open": "opened", "close": "closed"})
    legs_json = pl.struct("legs").struct.json_encode()
    return _with_legs(told).select(
        "commit",
        "position",
        event.alias("event"),
        pl.lit("iron_condor").alias("structure"),
        "underlying",
        "lots",
        legs_json.str.slice(8).str.head(-1).alias("legs"),
        (100 * pl.col("lots") * pl.col("credit")).alias("net_credit_usd"),
        (100 * pl.col("lots") * pl.col("credit")).alias("max_profit_usd"),
        (100 * pl.col("lots") * ((pl.col("k1") - pl.col("k0")) - pl.col("credit"))).alias("max_loss_usd"),
        pl.col("entry_day").cast(pl.Datetime("us", "UTC")).dt.offset_by("15h").alias("entry_time"),
        pl.col("entry_price").alias("entry_underlying_price"),
        pl.lit(0.18).alias("entry_iv"),
        pl.lit("condors").alias("strategy"),
    )


def _decisions(trades: pl.DataFrame, account: Account, day: int) -> pl.DataFrame:
    """One for every close, and four vetoes and shadow decisions on other positions."""
    closes = trades.filter(pl.col("kind") == "close").with_columns(kind=pl.lit("decision"))
    others = (
        account.held(day).head(4 * closes.height).with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))
    )
    beside = others.with_columns(
        decision=pl.format(f"dec-{day}-{{}}", "n"),
        kind=pl.when(pl.col("n") % 2 == 0).then(pl.lit("veto")).otherwise(pl.lit("shadow")),
        commit=pl.col("n") % 70,
    )
    columns = ("commit", "decision", "position", "kind", "number", "credit", "lots", "underlying")
    known = pl.struct(
        "position", "credit", "lots", "underlying", *(pl.lit(n / 7).alias(f"f{n}") for n in range(40))
    )
    return pl.concat([closes.select(columns), beside.select(columns)]).select(
        *columns[:4],
        rule=(pl.col("number") % 4).replace_strict(dict(enumerate(_RULES)), return_dtype=pl.String),
        priority=pl.col("number") % 4 + 5,
        action=pl.lit("close"),
        params=pl.lit("{}"),
        urgency=pl.lit("normal"),
        explanation=pl.lit("✓ 7 take_profit: wins\n  ✓ close mid when\n    ✓ profit >= $full" * 4),
        facts=known.struct.json_encode(),
        state=pl.struct(peak=pl.col("number") % 89 / 100).struct.json_encode(),
        fired=pl.lit(pl.Series([["take_profit"]])).first(),
        unknown=pl.lit(pl.Series([["vix_exit", "iv_crush"]])).first(),
        rules_revision=pl.lit("8bf3a9ff4b5c"),
    )


def _intents(trades: pl.DataFrame) -> pl.DataFrame:
    order = pl.struct(
        pl.lit("take_profit").alias("rule"),
        pl.lit(7).alias("priority"),
        pl.col("lots").alias("quantity"),
        pl.lit("normal").alias("urgency"),
        "created",
        pl.lit(pl.Series([[1, -1, 1, -1]])).first().alias("held"),
        pl.lit(None, pl.Int64).alias("roll_dte"),
        pl.lit(None, pl.String).alias("rolled_from"),
        pl.lit(pl.Series([[]], dtype=pl.List(pl.List(pl.String)))).first().alias("marks"),
        "legs",
    )
    told = _with_legs(trades).with_columns(order=order.struct.json_encode())
    return _each(told, "state", _STATES).select(
        "commit",
        "intent",
        "decision",
        "position",
        "kind",
        "state",
        pl.col("intent").alias("order_ref"),
        "order",
        pl.col("credit").alias("limit_price"),
        pl.when(pl.col("step") < 3).then(0.0).otherwise(pl.col("lots")).alias("filled"),
        pl.lit("").alias("reason"),
    )


def _orders(trades: pl.DataFrame) -> pl.DataFrame:
    is_filled = pl.col("state") == "filled"
    return _each(trades, "state", _ORDER_STATES).select(
        "commit",
        pl.col("intent").alias("order_ref"),
        pl.col("n").alias("order_id"),
        (pl.col("number") + 7_000_000).alias("perm_id"),
        "state",
        pl.when(is_filled).then(pl.col("lots")).otherwise(0).cast(pl.Float64).alias("filled"),
        pl.when(is_filled).then(0).otherwise(pl.col("lots")).cast(pl.Float64).alias("remaining"),
        pl.col("credit").alias("limit_price"),
        pl.when(is_filled).then("credit").alias("average_price"),
        pl.lit("changed").alias("event"),
    )


def _fills(trades: pl.DataFrame, moments: list[datetime]) -> pl.DataFrame:
    """The combo and its four legs, and these again with their commission."""
    parts = _each(trades, "part", ("0", "1", "2", "3", "4", "1", "2", "3", "4"))
    is_combo = pl.col("part") == "0"
    leg = pl.col("part").cast(pl.Int64)
    is_told_again = pl.col("step") > 4
    sign = pl.when(pl.col("kind") == "open").then(1).otherwise(-1)
    times = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    return parts.select(
        pl.col("commit").clip(upper_bound=len(moments) - 1),
        pl.format("{}.{}.01", "intent", "part").alias("exec_id"),
        pl.col("intent").alias("order_ref"),
        (pl.col("number") + 7_000_000).alias("perm_id"),
        pl.when(is_combo)
        .then(28_812_380)
        .otherwise(1_000_000 + 4 * pl.col("number") + leg - 1)
        .alias("con_id"),
        is_combo.alias("is_combo"),
        (pl.col("lots") * sign * pl.when(is_combo | (leg % 2 == 0)).then(1).otherwise(-1))
        .cast(pl.Float64)
        .alias("quantity"),
        (pl.col("credit") + 0.1 * leg).alias("price"),
        pl.when(is_told_again).then(0.65 * pl.col("lots")).alias("commission_usd"),
        pl.when(is_told_again & (pl.col("kind") == "close"))
        .then(12.5 * pl.col("lots"))
        .alias("realized_pnl_usd"),
        exec_time=pl.lit(times).gather(pl.col("commit").clip(upper_bound=len(moments) - 1)),
    )


def _positions(account: Account, day: int, trades: pl.DataFrame, moments: list[datetime]) -> pl.DataFrame:
    """A full picture at the open and every hour; every leg that changed."""
    held = legs(account.held(day)).drop("market")
    every = max(1, round(_PICTURE_EVERY_S / (moments[1] - moments[0]).total_seconds()))
    pictures = [held.with_columns(commit=pl.lit(n, pl.Int64)) for n in range(0, len(moments), every)]
    changed = trades.select("position", pl.col("commit") + 2, is_closed=pl.col("kind") == "close")
    legs_changed = legs(trades).drop("market").join(changed, on="position", maintain_order="left")
    quantity = pl.when("is_closed").then(0).otherwise(pl.col("quantity"))
    changes = legs_changed.with_columns(quantity.alias("quantity")).drop("is_closed")
    columns = changes.columns
    told = [*(frame.select(columns).with_columns(kind=pl.lit("full")) for frame in pictures)]
    return pl.concat([*told, changes.with_columns(kind=pl.lit("change"))]).with_columns(
        account=pl.lit(NAME), sec_type=pl.lit("OPT"), multiplier=pl.lit(100)
    )


def _reconciliations(day: str, commits: int) -> pl.DataFrame:
    """The comparison every five minutes agrees."""
    return pl.DataFrame({"commit": range(0, commits, max(1, commits // 78))}).select(
        pl.col("commit").cast(pl.Int64),
        pl.format(f"run-{day}-{{}}", "commit").alias("run"),
        pl.lit("agreement").alias("kind"),
        pl.lit("all holdings").alias("subject"),
    )


def _alerts(trades: pl.DataFrame, day: str) -> pl.DataFrame:
    return trades.head(20).select(
        "commit",
        pl.format(f"alert-{day}-{{}}", "n").alias("alert"),
        pl.lit("warning").alias("severity"),
        pl.lit("quote").alias("kind"),
        pl.col("position").alias("subject"),
        pl.lit("no live quote of a leg for two minutes").alias("text"),
    )
