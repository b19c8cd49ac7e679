"""The page that `optiond rules diff --html` writes, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from daemon.cli import main
from tests.daemon.small_past import SmallPast, take_rules

HOSTILE = 'B<script>document.title="taken"</script>'


def test_the_page_shows_when_each_revision_would_have_acted(desktop: Page, tmp_path: Path) -> None:
    past = SmallPast(tmp_path / "home")
    past.rules(-1, take_rules(50))
    for minute, profit in enumerate((0.3, 0.5, None, 0.6, 0.2)):
        past.seen(minute, **{"A": profit, HOSTILE: None if profit is None else profit + 0.05, "C": 0.1})
    home, edited, page = past.close(), tmp_path / "edited.yaml", tmp_path / "page.html"
    edited.write_text(take_rules(60))
    assert main(["rules", "diff", str(edited), "--html", str(page), "--home", str(home)]) == 0
    asked_for: list[str] = []
    desktop.on("request", lambda request: asked_for.append(request.url))
    desktop.goto(page.as_uri())
    expect(desktop).to_have_title("Rules A and B")
    expect(desktop.get_by_role("heading", level=2)).to_have_text(["A", HOSTILE])
    drawing = desktop.get_by_role("img", name="A", exact=True)
    expect(drawing.locator("path.mark")).to_have_count(1)
    expect(drawing.locator("circle.mark")).to_have_count(1)
    expect(drawing.locator("text.flag", has_text="A 2 take: close mid")).to_be_visible()
    expect(drawing.locator("text.flag", has_text="B 2 take: close mid")).to_be_visible()
    # The line is broken where the P&L was not known, and a light one leads across.
    expect(drawing.locator("polyline.line:not(.between)")).to_have_count(2)
    expect(desktop.get_by_text(re.compile("A 100.00 USD .close by take., B 120.00 USD"))).to_be_visible()
    old, new = (drawing.locator(f"rect.bar.{side}").bounding_box() for side in ("old", "new"))
    assert old is not None
    assert new is not None
    assert old["width"] < new["width"]
    assert asked_for == [page.as_uri()], "the page needs nothing but itself"
