"""Calendar file and history of the broker: how they come into the daemon, and stay known."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from broker.events import DailyKind, DailyValues
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.almanac_care import AlmanacCare
from daemon.metrics import Metrics
from daemon.records import Alerts, Records
from lake import LakeReader
from options import ConId
from sync.almanac import ASK_EVERY, PATIENCE, WHOLE_YEAR, Almanac
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from tests.sync.years import days
from trading.desk import Desk
from trading.rolling import Roller

NOW = datetime(2026, 3, 20, 15, 0, tzinfo=UTC)
TEXT = "version: 1\nchecked: 2026-03-18\nsymbols:\n  IWM: {earnings: never}\n"


class Still:
    def now(self) -> datetime:
        return NOW


class Desktop:
    def __init__(self, folder: Path) -> None:
        broker = InteractiveBrokers("127.0.0.1", 1, 1, Still())
        self.state = AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))
        self.records, self.file = Records(LAKE_TABLES), folder / "calendar.yaml"
        self.care = AlmanacCare(self.state, Alerts(self.records, Metrics()), self.file)
        self._saved = 0

    def save(self, text: str) -> None:
        """Every save gets a time of its own, however coarse the clock of the disk is."""
        self._saved += 1
        self.file.write_text(text)
        os.utime(self.file, ns=(self._saved * 10**9, self._saved * 10**9))

    async def settle(self, now: datetime = NOW) -> list[str]:
        """The alerts that looking at the file raised."""
        await self.care.look()
        self.care.settle(now)
        alerts = self.records.take().get("alerts")
        return [] if alerts is None else alerts["text"].to_list()

    def days_to_earnings(self) -> int | None:
        return self.state.almanac.calendar.days_to_earnings("IWM", NOW.date())


@pytest.fixture
def desktop(tmp_path: Path) -> Desktop:
    return Desktop(tmp_path)


async def test_a_saved_calendar_comes_into_force_and_one_that_is_gone_is_unknown(desktop: Desktop) -> None:
    assert await desktop.settle() == []
    assert desktop.days_to_earnings() is None
    desktop.save(TEXT)
    assert await desktop.settle() == []
    assert desktop.days_to_earnings() == 9999
    desktop.save(TEXT.replace("never", "[2026-03-25]"))
    await desktop.settle()
    assert desktop.days_to_earnings() == 5
    desktop.file.unlink()
    await desktop.settle()
    assert desktop.days_to_earnings() is None
    assert desktop.care.status(NOW)["checked"] is None


async def test_a_calendar_with_a_mistake_is_told_and_the_one_before_stays(desktop: Desktop) -> None:
    desktop.save(TEXT)
    await desktop.settle()
    desktop.save(TEXT.replace("never", "soon"))
    (text,) = await desktop.settle()
    assert f"{desktop.file}:4:19: earnings are a list" in text
    assert desktop.days_to_earnings() == 9999
    assert "earnings are a list" in desktop.care.status(NOW)["wrong"]
    assert await desktop.settle() == []
    desktop.save(TEXT)
    assert await desktop.settle() == []
    assert desktop.care.status(NOW)["wrong"] == ""


async def test_a_calendar_that_has_grown_old_is_told_once(desktop: Desktop) -> None:
    desktop.save(TEXT)
    assert await desktop.settle() == []
    later = NOW + timedelta(days=120)
    (text,) = await desktop.settle(later)
    assert text.startswith("was last checked on 2026-03-18, more than 100 days ago")
    assert await desktop.settle(later) == []
    assert not desktop.care.status(later)["is_valid"]


def test_one_question_is_asked_after_the_other_and_again_every_hour() -> None:
    almanac = Almanac()
    first = almanac.question(("IWM", "SPY"), NOW)
    assert first is not None and (first.symbol, first.kind, first.days) == (
        "IWM",
        DailyKind.CLOSE,
        WHOLE_YEAR,
    )
    assert almanac.question(("IWM", "SPY"), NOW + timedelta(seconds=1)) is None
    year = tuple((day, 100.0) for day in days(250, NOW.date()))
    rows = almanac.answer("IWM", DailyValues(ConId(1), DailyKind.CLOSE, year), NOW)
    assert len(rows) == 249
    kinds = []
    for _ in range(3):
        question = almanac.question(("IWM", "SPY"), NOW)
        assert question is not None
        kinds.append((question.symbol, question.kind))
        refused = DailyValues(ConId(1), question.kind, (), "162: no data")
        assert almanac.answer(question.symbol, refused, NOW) == []
    assert kinds == [("IWM", DailyKind.IMPLIED_VOL), ("SPY", DailyKind.CLOSE), ("SPY", DailyKind.IMPLIED_VOL)]
    assert almanac.refusals[kinds[0]] == "162: no data"
    assert almanac.question(("IWM", "SPY"), NOW + ASK_EVERY - timedelta(seconds=1)) is None
    again = almanac.question(("IWM", "SPY"), NOW + ASK_EVERY)
    assert again is not None and (again.symbol, again.days) == ("IWM", 2)


def test_an_answer_that_never_comes_holds_nothing_up_and_a_lost_connection_asks_again() -> None:
    almanac = Almanac()
    assert almanac.question(("IWM",), NOW) is not None
    late = NOW + PATIENCE
    second = almanac.question(("IWM",), late)
    assert second is not None and second.kind is DailyKind.IMPLIED_VOL
    almanac.forget_questions()
    assert almanac.question(("IWM",), late) == second


def test_the_broker_s_year_is_recorded_once_and_known_again_after_a_restart(
    start_gateway: Callable[..., Any], home: Any, helpers: Any
) -> None:
    gateway = start_gateway("--market", "model", "--speed", "30")
    home.settle(gateway)
    (home.path / "calendar.yaml").write_text(
        "version: 1\nchecked: 2026-02-28\nsymbols:\n  IWM: {earnings: [2026-03-12], ex_dividends: never}\n"
    )

    since = datetime(2026, 1, 1, tzinfo=UTC)

    def known() -> list[dict[str, Any]]:
        facts = LakeReader.open(home.path).newest("facts").filter(pl.col("time") > since)
        full = facts.drop_nulls(("iv_rank", "iv_percentile", "book_var_usd"))
        return full.to_dicts() if full.height == 3 else []

    def year() -> pl.DataFrame:
        return LakeReader.open(home.path).table("underlying_days").collect()

    for _ in range(2):
        daemon = home.start()
        helpers.wait_until(home.status, 40, "a daemon that answers")
        rows = helpers.wait_until(known, 40, "facts of a year of days")
        helpers.stop(daemon)
        since = LakeReader.open(home.path).newest("facts")["time"][0]
        told = year()
        closes = told.filter(pl.col("kind") == "close")
        assert closes.unique(("symbol", "day")).height == closes.height
        assert set(told["symbol"]) == {"IWM", "QQQ", "SPY"}
        assert told["day"].max() < date(2026, 3, 3)
        for row in rows:
            assert 0 <= row["iv_rank"] <= 100 and 0 <= row["iv_percentile"] <= 100
            assert 0 < row["book_var_usd"] < 5_000
            is_iwm = row["underlying"] == "IWM"
            assert row["days_to_earnings"] == (10 if is_iwm else None)
            assert row["days_to_ex_dividend"] == (9999 if is_iwm else None)
    # The gateway's volatility of the last days is another by then, and is recorded as it was corrected.
    assert 1440 <= year().height <= 1530


async def test_a_calendar_checked_on_a_day_to_come_is_told(desktop: Desktop) -> None:
    desktop.save(TEXT.replace("checked: 2026", "checked: 2036"))
    (text,) = await desktop.settle()
    assert text.startswith("was last checked on 2036-03-18, a day that is still to come")
    assert desktop.days_to_earnings() is None
