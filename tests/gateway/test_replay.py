"""The replay market on small files of our own, and on the recorded data where it is at hand."""

import math
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from broker.gateway import main
from broker.gateway.markets.quotes import MISSING
from broker.gateway.markets.replay import COLUMNS, ReplayMarket, read_quotes

START = datetime(2026, 1, 28, 17, 0, tzinfo=UTC)
HEAD = "conid,symbol,expiry,right,strike,position,average_cost\n"
HELD = HEAD + "754130499,IWM,2026-03-20,P,235.0,2.0,194.45375\n"


def row(seconds, strike=235.0, **values):
    terms = {"symbol": "IWM", "expiry": date(2026, 3, 20), "right": "P", "strike": strike}
    return {"timestamp": START + timedelta(seconds=seconds), **terms, **values}


@pytest.fixture
def recording(tmp_path):
    """Writes rows as a parquet file of the recorded schema."""

    def write(*rows):
        path = tmp_path / "quotes.parquet"
        full = [{name: r.get(name) for name in COLUMNS} for r in rows]
        pl.DataFrame(full, schema=COLUMNS).write_parquet(path)
        return path

    return write


@pytest.fixture
def positions(tmp_path):
    def write(text):
        path = tmp_path / "positions.csv"
        path.write_text(text)
        return path

    return write


def quote(market, seconds, strike=235.0):
    contract = next(c for c in market.listings if c.strike == strike)
    return market.quotes([contract.con_id], START + timedelta(seconds=seconds))[contract.con_id]


def test_a_recorded_quote_is_current_for_two_minutes_and_then_missing(recording):
    market = ReplayMarket(recording(row(0, strike=240.0), row(10, bid=1.0, ask=1.1), row(200, bid=2.0)), {})
    assert market.start() == START
    assert quote(market, 9) == MISSING
    assert (quote(market, 10).bid, quote(market, 130).ask) == (1.0, 1.1)
    assert quote(market, 131) == MISSING
    assert (quote(market, 200).bid, quote(market, 200).ask) == (2.0, None)
    assert (market.ended(START), market.ended(START + timedelta(seconds=200))) == (False, True)
    put = next(c for c in market.listings if c.strike == 235.0)
    assert market.marks([put.con_id], START + timedelta(seconds=250)) == {put.con_id: pytest.approx(1.05)}


def test_what_cannot_be_a_price_is_missing(recording):
    market = ReplayMarket(recording(row(0, bid=math.nan, ask=-1.0, last=0.0, volume=0, delta=-0.2)), {})
    found = quote(market, 0)
    assert (found.bid, found.ask, found.last, found.volume) == (None, None, None, None)
    assert (found.delta, found.iv) == (-0.2, None)


def test_news_within_a_quarter_second_is_one_step(recording):
    rows = [row(s, strike=k) for s, k in ((1, 235.0), (1.1, 240.0), (1.25, 245.0), (1.3, 250.0), (9, 235.0))]
    market = ReplayMarket(recording(*rows), {})
    ids = {c.strike: c.con_id for c in market.listings if c.strike}
    assert market.next_change(list(ids.values()), START) == START + timedelta(seconds=1.25)
    assert market.next_change([ids[250.0]], START) == START + timedelta(seconds=1.3)
    assert market.next_change([ids[235.0]], START + timedelta(seconds=1)) == START + timedelta(seconds=9)
    assert market.next_change([ids[240.0]], START + timedelta(seconds=2)) is None
    changed = market.changed(list(ids.values()), START, START + timedelta(seconds=1.25))
    assert changed == sorted(ids[k] for k in (235.0, 240.0, 245.0))


def test_hours_without_quotes_outside_the_session_are_skipped(recording):
    market = ReplayMarket(recording(row(0), row(5 * 3600), row(86_400)), {})
    late = START + timedelta(hours=5)  # 17:00 New York
    assert market.resume(START + timedelta(hours=1)) == START + timedelta(hours=1)
    assert market.resume(START + timedelta(hours=4, minutes=30)) == late
    assert market.resume(late + timedelta(seconds=119)) == late + timedelta(seconds=119)
    assert market.resume(late + timedelta(seconds=121)) == datetime(2026, 1, 29, 14, 30, tzinfo=UTC)


async def test_only_current_quotes_are_sent_on_subscription_and_held_legs_keep_their_ids(
    recording, positions, open_bench, connect, until
):
    rows = [row(0, bid=1.0, ask=1.1, delta=-0.2), row(300, bid=1.2, ask=1.3, delta=-0.3)]
    files = ("--quotes", str(recording(*rows)), "--positions", str(positions(HELD)))
    async with open_bench("--market", "replay", "--speed", "0", *files) as bench, connect(bench) as ib:
        (held,) = [p.contract for p in ib.positions()]
        assert held.conId == 754130499
        assert ib.positions()[0].avgCost == 194.45375
        held.exchange = "SMART"
        await bench.step(150)
        ticker = ib.reqMktData(held)
        await ib.reqCurrentTimeAsync()
        assert math.isnan(ticker.bid)
        assert ticker.modelGreeks is None
        await bench.step(150)
        await until(lambda: ticker.bid == 1.2)
        assert ticker.modelGreeks.delta == -0.3
        assert ticker.modelGreeks.impliedVol is None
        assert ticker.modelGreeks.undPrice is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("conid,symbol\n", "no column 'expiry'"),
        (HEAD + "1,IWM,2026-03-20,P,999,2,100\n", "line 2: the market has no IWM 2026-03-20 999 P"),
        (HEAD + "1,IWM,2026-03-20,P,235,two,100\n", "line 2, column position"),
        (HEAD + "1,IWM,2026-03-20,P,235,1.5,100\n", "line 2, column position"),
        (HEAD + "1,IWM,2026-03-20,P,235,2,nan\n", "line 2, column average_cost"),
        (HEAD + "1,IWM,someday,P,235,2,100\n", "line 2, column expiry"),
        (HEAD + "1,IWM,2026-03-20,X,235,2,100\n", "line 2, column right"),
        (HEAD + "1,IWM\n", "line 2"),
        (HELD + HELD.splitlines()[1] + "\n", "line 3: conid 754130499 is already on line 2"),
    ],
)
def test_a_wrong_positions_file_is_one_line_that_says_where(recording, positions, capsys, text, says):
    quotes, held = recording(row(0)), positions(text)
    argv = ["--market", "replay", "--quotes", str(quotes), "--positions", str(held), "--port", "0"]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert says in err
    assert str(held) in err
    assert err.count("\n") == 1


def test_a_wrong_quotes_file_is_one_line_that_says_where(recording, tmp_path, capsys):
    def says(path):
        assert main(["--market", "replay", "--quotes", str(path), "--port", "0"]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(recording(row(0)).read_bytes()[:-20])
    assert "cannot be read as parquet" in says(damaged)
    good = pl.read_parquet(recording(row(0)))
    other = tmp_path / "other.parquet"
    for frame, reason in (
        (good.drop("bid"), "no column 'bid'"),
        (good.with_columns(pl.col("strike").cast(pl.String)), "column 'strike' is String"),
        (good.clear(), "no rows"),
        (good.with_columns(right=pl.lit("X")), "row 0"),
        (good.with_columns(strike=pl.lit(-1.0)), "row 0"),
    ):
        frame.write_parquet(other)
        assert reason in says(other)
    assert "cannot be read" in says(tmp_path)


@pytest.mark.recorded
async def test_the_recorded_account_and_its_quotes_arrive_unchanged(recorded, open_bench, connect, until):
    quotes, held = recorded / "ibkr_option_snapshots.parquet", recorded / "ibkr_account_positions.csv"
    files = ("--quotes", str(quotes), "--positions", str(held))
    async with open_bench("--market", "replay", "--speed", "0", *files) as bench, connect(bench) as ib:
        account = {p.contract.conId: (p.position, p.avgCost) for p in ib.positions()}
        wanted = {
            r["conid"]: (r["position"], r["average_cost"]) for r in pl.read_csv(held).iter_rows(named=True)
        }
        assert account == wanted
        contracts = [p.contract for p in ib.positions()]
        for contract in contracts:
            contract.exchange = "SMART"
        tickers = [ib.reqMktData(contract) for contract in contracts]
        ib.reqMktData((await ib.qualifyContractsAsync(_share()))[0])
        seen = []
        for _ in range(12):
            await bench.step(600)
            await ib.reqCurrentTimeAsync()
            seen += [(t.contract.conId, t.bid, t.ask) for t in tickers if t.hasBidAsk()]
        assert len(seen) > 50
        frame = pl.read_parquet(quotes).filter(pl.col("timestamp") <= bench.gateway.clock.now)
        terms = {(c.symbol, c.strike, c.right): c.conId for c in contracts}
        raw = {
            (terms.get((r["symbol"], r["strike"], r["right"])), r["bid"], r["ask"])
            for r in frame.filter(pl.col("expiry") == date(2026, 3, 20)).iter_rows(named=True)
        }
        assert set(seen) <= raw
        assert math.isnan(next(t for t in ib.tickers() if t.contract.secType == "STK").bid)


@pytest.mark.recorded
def test_the_recorded_file_is_read_completely(recorded):
    path = recorded / "ibkr_option_snapshots.parquet"
    frame = read_quotes(path)
    assert frame.height == 104_547
    assert (pl.read_parquet(path)["last"] == 0).sum() == 16_479
    assert (frame["last"] == 0).sum() == 0
    market = ReplayMarket(path, {})
    assert sum(1 for c in market.listings if c.strike) == frame.n_unique(
        ["symbol", "expiry", "right", "strike"]
    )


def _share():
    from ib_async import Stock

    return Stock("IWM", "SMART", "USD")
