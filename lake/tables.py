"""The tables of the lake: every column with its meaning, its unit and what null means in it."""

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from lake.schemas import TEXTS, TIME, Column, Gone, TableSchema

_UNKNOWN = "not known"
_NONE = "there is none"
_OLDER = "recorded by an older optiond"
_OLDER_OR_LAKE = f"{_OLDER}, or a lake_ event"


def _text(name: str, meaning: str, null: str | None = None) -> Column:
    return Column(name, pl.String(), meaning, null=null)


def _int(name: str, meaning: str, null: str | None = None, unit: str = "") -> Column:
    return Column(name, pl.Int64(), meaning, unit, null)


def _float(name: str, meaning: str, unit: str, null: str | None = _UNKNOWN) -> Column:
    return Column(name, pl.Float64(), meaning, unit, null)


def _usd(name: str, meaning: str) -> Column:
    return _float(name, meaning, "USD")


def _time(name: str, meaning: str, null: str | None = _UNKNOWN) -> Column:
    return Column(name, TIME, meaning, "UTC", null)


_TERMS = (
    _text("symbol", "symbol of the underlying, or of the share itself", _UNKNOWN),
    _text("sec_type", "OPT, STK, IND, BAG", _UNKNOWN),
    Column("expiry", pl.Date(), "last trading day", null="does not expire"),
    _float("strike", "strike price", "USD per share", "has no strike"),
    _text("right", "C or P", "no option"),
    _int("multiplier", "shares per contract", _UNKNOWN),
)

_TABLES = (
    TableSchema(
        "contracts",
        "contract as qualified, on change",
        ("con_id",),
        (
            _int("con_id", "the broker's id of the contract; negative: our own of an imported one"),
            *_TERMS,
            _text("exchange", "where orders for it go", _UNKNOWN),
            _text("currency", "what it is traded in", _UNKNOWN),
            _text("local_symbol", "the exchange's name of it", _UNKNOWN),
            _text("trading_class", "its trading class", _UNKNOWN),
            _float("min_tick", "smallest price step", "USD per share"),
        ),
    ),
    TableSchema(
        "positions",
        "leg holding as the broker reported it: changes, plus a full picture at the open and hourly",
        ("account", "con_id"),
        (
            _text("account", "the broker's account", _UNKNOWN),
            _int("con_id", "the contract held"),
            *_TERMS,
            _int("quantity", "contracts held; negative: sold, 0: no longer held"),
            _float("average_cost_usd", "what one contract cost on average", "USD per contract"),
            _text("position", "the Position it belongs to", "belongs to none"),
            Column(
                "kind", pl.String(), "change: this leg changed; full: part of a full picture", of_row=True
            ),
        ),
        gone=Gone("quantity", (0,)),
    ),
    TableSchema(
        "strategies",
        "open, close, roll, assign event of a Position, with lineage",
        ("position",),
        (
            _text("position", "id of the Position"),
            _text(
                "event",
                "adopted, opened, noted, reduced, closed, rolled, assigned or restated (after the end)",
            ),
            _text("structure", "iron_condor, vertical, ...", _UNKNOWN),
            _text("underlying", "symbol of the underlying", _UNKNOWN),
            _int("lots", "lots after the event; of a Position that ended, those it ended with", _UNKNOWN),
            _text(
                "legs",
                "after the event, JSON list of {con_id, symbol, expiry, strike, right, quantity, "
                "average_cost_usd, multiplier, sec_type}",
                _UNKNOWN,
            ),
            _usd("net_credit_usd", "received for the whole Position; negative: paid"),
            _float("max_profit_usd", "best value at expiry", "USD", "unlimited or not known"),
            _float("max_loss_usd", "worst value at expiry, positive", "USD", "unlimited or not known"),
            _time("entry_time", "when it was opened"),
            _float("entry_underlying_price", "price of the underlying at entry", "USD per share"),
            _float("entry_iv", "implied volatility at entry", "per year"),
            _float("entry_vix", "VIX at entry", "points"),
            _usd("realized_pnl_usd", "realized so far"),
            _text("strategy", "name of the strategy it is run by", _NONE),
            _text("rolled_from", "the Position this one continues", "was not rolled"),
            _text("reason", "why it happened", _NONE),
        ),
        gone=Gone("event", ("closed", "rolled", "restated")),
    ),
    TableSchema(
        "snapshots",
        "contract and 30 s: quote, mark, IV, Greeks, provenance",
        ("con_id",),
        (
            _int("con_id", "the contract quoted"),
            _float("bid", "best bid", "USD per share", "no bid"),
            _float("ask", "best offer", "USD per share", "no offer"),
            _float("last", "last trade", "USD per share", "no trade"),
            _float("mark", "what it is valued at", "USD per share"),
            _float("iv", "implied volatility", "per year"),
            _float("delta", "delta of one share's option", "shares"),
            _float("gamma", "gamma of one share's option", "shares per USD"),
            _float("theta", "theta of one share's option", "USD per day"),
            _float("vega", "vega of one share's option", "USD per volatility point"),
            _float("underlying_price", "price of the underlying at that moment", "USD per share"),
            _time("quote_time", "when the broker sent the quote", "never quoted"),
            _text("quote_state", "live, modelled, stale or missing"),
            _text(
                "flags",
                "what is wrong with the quote: crossed, locked, frozen, jump, parity, no_greeks",
                "nothing, or nobody looked",
            ),
            _int("volume", "traded that day", "not recorded", "contracts"),
            _int("open_interest", "open contracts; 0 often means not recorded", "not recorded", "contracts"),
            _text("source", "the folder or file that it was imported from", "quoted to this daemon"),
        ),
    ),
    TableSchema(
        "account",
        "account and time: NLV, cash, margin, book Greeks",
        ("account",),
        (
            _text("account", "the broker's account"),
            _usd("nlv_usd", "net liquidation value"),
            _usd("cash_usd", "cash"),
            _usd("initial_margin_usd", "initial margin required"),
            _usd("maintenance_margin_usd", "maintenance margin required"),
            _usd("available_funds_usd", "funds available for new positions"),
            _usd("buying_power_usd", "buying power"),
            _usd("realized_pnl_usd", "realized today"),
            _usd("unrealized_pnl_usd", "unrealized"),
            _float("book_delta_usd", "delta of all positions", "USD per 1 USD"),
            _float("book_gamma_usd", "gamma of all positions", "USD per 1 USD, squared"),
            _float("book_theta_usd", "theta of all positions", "USD per day"),
            _float("book_vega_usd", "vega of all positions", "USD per volatility point"),
        ),
    ),
    TableSchema(
        "decisions",
        "decision, veto or shadow decision, with fired/unknown bits, rule state, rules revision",
        ("decision",),
        (
            _text("decision", "id of the decision"),
            _text("position", "the Position decided on", "about the whole book"),
            _text("rule", "the rule that won", "no rule fired"),
            _int("priority", "the rule's priority", "no rule fired"),
            _text("action", "what to do", "nothing"),
            _text("params", "JSON of the action's parameters", _NONE),
            _text("urgency", "how fast", _NONE),
            _text("kind", "decision, veto or shadow"),
            _text("reason", "why it became no order, in words", _NONE),
            _text("explanation", "the rule's conditions with values, thresholds and verdicts", _NONE),
            _text("facts", "JSON of the facts it was decided on", _UNKNOWN),
            _text("state", "JSON of the rule state of the Position and of the book before it", _NONE),
            Column("fired", TEXTS, "rules that fired", null=_UNKNOWN),
            Column("unknown", TEXTS, "rules that could not be judged", null=_UNKNOWN),
            _text("rules_revision", "revision of the rules it was decided by", _UNKNOWN),
            _time("decided", "the moment that the rules were given", _OLDER),
            _text(
                "contributors",
                "JSON of all positions, for a rule of the book: id, lots, largest loss in USD",
                "not a rule of the book",
            ),
            _text("inputs_hash", "SHA-256 of all it was decided on", _OLDER),
            _text("hash", "SHA-256 of what was decided", _OLDER),
        ),
    ),
    TableSchema(
        "intents",
        "state change of an intent",
        ("intent",),
        (
            _text("intent", "id of the intent"),
            _text("decision", "the decision it carries out", "was not decided by a rule"),
            _text("position", "the Position it changes", _NONE),
            _text("kind", "close, reduce or open (the second half of a roll)"),
            _text("state", "the state it is in now"),
            _text("order_ref", "our name of its order", "no order yet"),
            _text("order", "JSON of the order", "no order yet"),
            _float("limit_price", "limit price of the order", "USD per share", "no order yet"),
            _float("filled", "lots filled", "lots"),
            _text("reason", "why it changed", _NONE),
        ),
        gone=Gone("state", ("settled", "cancelled", "rejected", "abandoned", "refused")),
    ),
    TableSchema(
        "orders",
        "broker order event",
        ("order_ref", "perm_id", "order_id"),
        (
            _text("order_ref", "our name of the order", "not our order"),
            _int("order_id", "the API client's id of the order", _UNKNOWN),
            _int("perm_id", "the broker's lasting id of the order", _UNKNOWN),
            _text("state", "the broker's state of the order"),
            _float("filled", "filled", "contracts or combos"),
            _float("remaining", "remaining", "contracts or combos"),
            _float("limit_price", "limit price", "USD per share", "no limit"),
            _float("average_price", "average fill price", "USD per share", "nothing filled"),
            _text("event", "what happened", _NONE),
            _text("text", "the broker's words", _NONE),
        ),
        gone=Gone("state", ("filled", "cancelled", "rejected")),
        alternatives=True,
    ),
    TableSchema(
        "fills",
        "execution with commission (corrections as new rows)",
        ("exec_id",),
        (
            _text("exec_id", "the broker's id of the execution"),
            _text("order_ref", "our name of the order", "not our order"),
            _int("perm_id", "the broker's lasting id of the order", _UNKNOWN),
            _int("con_id", "the contract traded", _UNKNOWN),
            Column("is_combo", pl.Boolean(), "the combo itself, not one of its legs", null=_UNKNOWN),
            _float("quantity", "bought; negative: sold", "contracts"),
            _float("price", "price", "USD per share"),
            _usd("commission_usd", "commission paid"),
            _usd("realized_pnl_usd", "realized by this fill, as the broker says"),
            _time("exec_time", "when it was executed"),
        ),
    ),
    TableSchema(
        "rule_state",
        "what the rules remember of a position: changes, plus all positions once a day and at the start",
        ("position",),
        (
            _text(
                "position", "the position; empty: the book", "an older optiond wrote all positions at once"
            ),
            _text("revision", "revision of the rules", _UNKNOWN),
            _text("state", "JSON of what is remembered", "nothing any more"),
        ),
    ),
    TableSchema(
        "queue",
        "change of a contract that waits for its turn on a market-data line",
        ("item",),
        (
            _text("item", "id of the item"),
            _int("con_id", "the contract it is about", _NONE),
            _text("state", "waiting, parked (it does not answer) or gone (not held, or it has a line)"),
            _text("reason", "what was wrong with its last visit", "nothing"),
            _int("attempts", "visits in a row without an answer", _UNKNOWN),
            _time("due", "not visited before", "whenever its turn comes"),
            _time("queued", "when it began to wait", _OLDER),
            _time("visited", "when it last answered", "not since it waits"),
            Column("is_urgent", pl.Boolean(), "visited more often than others", null=_OLDER),
        ),
        gone=Gone("state", ("gone",)),
    ),
    TableSchema(
        "strategy_registry",
        "contract that becomes active (it has a line of its own while there are lines) or ends to be",
        ("position", "con_id"),
        (
            _text("position", "the Position it belongs to"),
            _int("con_id", "the contract"),
            _text("reason", "open (of a live strategy), entering (an opening is on its way) or ended"),
            _text("strategy", "the strategy that runs the Position", "none, or not known yet"),
        ),
        gone=Gone("reason", ("ended",)),
    ),
    TableSchema(
        "alerts",
        "alert",
        ("alert",),
        (
            _text("alert", "id of the alert"),
            _text("severity", "info, warning or critical"),
            _text("kind", "what kind of alert", _NONE),
            _text("subject", "what it is about", _NONE),
            _text("text", "what to tell the owner"),
        ),
    ),
    TableSchema(
        "breaker",
        "breaker event",
        (),
        (
            _text(
                "event", "what befell the breaker; lake_stop to lake_release: no entries for the disk's sake"
            ),
            _text("state", "the mode after it, armed to frozen; lake_ events leave it"),
            _text(
                "actor", "who did it; breaker: the daemon; lake: the daemon, because of the disk", _UNKNOWN
            ),
            _text("reason", "why", _NONE),
            _int("number", "its number in the journal, from 1", _OLDER_OR_LAKE),
            _text("before", "the mode before it", _OLDER_OR_LAKE),
            _text("facts", "JSON of what was known: every condition, and those that stand", _OLDER_OR_LAKE),
            _text("doubt", "why the mode is not simply what the table says", _NONE),
            _time("decided", "the moment of the event", _OLDER_OR_LAKE),
        ),
    ),
    TableSchema(
        "reconciliations",
        "difference between our books and the broker's: found, found changed, or over",
        ("run", "kind", "subject"),
        (
            _text("run", "id of the comparison"),
            _text(
                "kind",
                "missing_here, missing_there, quantity, average_cost, assignment, expiry, unknown_order, "
                "orphaned_order, missing_order, unexpected_fill, missed_fill, corrected_fill, missing_fill, "
                "account or naked_short",
            ),
            _text("subject", "the contract, order or execution it is about; cash: the account's", _NONE),
            _text("ours", "what our books say", _NONE),
            _text("theirs", "what the broker says", _NONE),
            _text("resolution", "what is done about it", _NONE),
            _text("state", "found or over", "recorded by an older optiond: found"),
        ),
    ),
    TableSchema(
        "rules_revisions",
        "rules as they were saved and found sound",
        ("revision",),
        (
            _text("revision", "hash of the rules"),
            _text("text", "the rules file, whole"),
            _text("path", "where it was read", _UNKNOWN),
        ),
    ),
    TableSchema(
        "rules_changes",
        "step of the rules on their way into force, or out of it",
        ("path",),
        (
            _text("event", "seen, refused, waiting, approved, rejected, taken_up or rolled_back"),
            _text("revision", "the rules it is about; taken_up and rolled_back: now in force", "not rules"),
            _text("before", "the rules in force until then", "the first"),
            _text("actor", "who did it", "the daemon, because a file was saved"),
            _text("reason", "why, in words", _NONE),
            _text("path", "the rules file"),
            _time("saved", "when that file was saved, by the clock of the machine", "it is not there"),
            _text("ignored", "revision of the file, ignored until it is saved again", _NONE),
            _text(
                "fires",
                "JSON: on which positions it would act where the rules in force do not",
                "not asked",
            ),
            _text("replayed", "JSON: what it would have decided otherwise on the last beats", "not asked"),
        ),
    ),
    TableSchema(
        "settings_revisions",
        "settings as taken up",
        ("revision",),
        (_text("revision", "hash of the settings"), _text("text", "the settings, without secrets")),
    ),
    TableSchema(
        "bars",
        "underlying, interval, time",
        ("symbol", "interval", "bar_time"),
        (
            _text("symbol", "symbol of the underlying"),
            _text("interval", "length of the bar: 1m, 1d, ..."),
            _time("bar_time", "when the bar began", None),
            _float("open", "first price", "USD per share"),
            _float("high", "highest price", "USD per share"),
            _float("low", "lowest price", "USD per share"),
            _float("close", "last price", "USD per share"),
            _float("volume", "traded", "shares"),
        ),
    ),
)

SCHEMA_CHANGES = TableSchema(
    "schema_changes",
    "table or column that a newer optiond has added",
    ("table", "column"),
    (
        _text("table", "the table"),
        _text("column", "the column that is new", "the whole table is new"),
        _text("type", "its type", "the whole table is new"),
        _int("from_version", "version of the schemas before; the first is 1"),
        _int("to_version", "version of the schemas from then on"),
        _time("changed_at", "when, by the clock of the machine", None),
    ),
)
"""Written by the lake itself when it is opened."""

TABLES: Mapping[str, TableSchema] = MappingProxyType(
    {table.name: table for table in (*_TABLES, SCHEMA_CHANGES)}
)
"""Every table but `facts`, whose columns are the rules' catalogue (`facts_table`)."""

LEDGER = TableSchema(
    "ledger",
    "flush: highest seq, time, version of every table after it",
    ("first_seq",),
    (
        _int("first_seq", "lowest seq of the flush; the row's own seq is the highest"),
        _time("first_time", "earliest commit time of the flush", None),
        Column("times", pl.List(TIME), "commit time of every seq from first_seq on", "UTC"),
        _text("versions", "JSON: Delta version of every table but the ledger, after the flush"),
        _text(
            "rows", "JSON: rows of every table but the ledger, after the flush", "an older optiond wrote it"
        ),
    ),
)
"""Written by the lake itself, last in every flush."""
