"""The pages in a real Chromium: nothing on the console, nothing that overflows, and charts that draw what is true.

Chromium is the system's own, driven by playwright. Where it is missing these tests skip and say so; in CI they fail.
"""

import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import unescape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncer import history
from syncer.db import engine as db
from syncer.web.query import Query
from syncer.web.report import Wanted, report
from syncer.web.site import Site
from tests.conftest import IN_CI
from tests.story import instant
from tests.web.world import HOSTILE, R1, World, settings_of

MODEL = "/model?source=acme&name=deepseek-ai%2FDeepSeek-R1"
SEVERAL = "/model?source=router&name=lab%2Fsol"
PAGES = {
    "overview": "/",
    "catalog": "/catalog",
    "past": "/catalog?at=2026-01-10",
    "none": "/catalog?q=nothing+of+the+kind",
    "model": MODEL,
    "several": SEVERAL,
    "hostile": str(httpx.URL("/model", params={"source": "acme", "name": HOSTILE})),
    "changes": "/changes",
    "compare": "/compare?from=2026-01-03",
    "compare-models": "/compare/models?m=deepseek-ai%2FDeepSeek-R1&m=Qwen%2FQwQ-32B",
    "offers": "/offers?model=deepseek-ai%2FDeepSeek-R1",
    "sources": "/sources",
    "manual": "/manual/commands",
}
SHOTS = os.environ.get("SYNCER_SHOTS")
"""A folder for pictures of every page, to be looked at."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    explain = pytest.fail if IN_CI else pytest.skip
    if program is None:
        explain("no Chromium here: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        explain("no playwright here: install the dev extra")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def said() -> list[str]:
    """What the console said; a test that ends with anything in it fails."""
    return []


def origin(url: str) -> str:
    """Scheme, host and port."""
    return "/".join(url.split("/")[:3])


def opened(browser: Any, said: list[str], width: int = 1280, **options: Any) -> Any:
    """A page of this width whose console is heard."""
    page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.extend({request.url} - {f"{origin(request.url)}/events"}))
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_each_page_is_quiet_and_fits(world: World, browser: Any, said: list[str], width: int, scheme: str) -> None:
    """No console message, no refusal of the content policy, no request elsewhere, no overflow down to 320 pixels."""
    page = opened(browser, said, width, color_scheme=scheme)
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(world.url) else elsewhere.append(request.url))
    for name, path in PAGES.items():
        page.goto(world.url + path)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
        for narrow in {width, min(width, 320)}:
            page.set_viewport_size({"width": narrow, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= narrow, f"{name} overflows at {narrow}"
        page.set_viewport_size({"width": width, "height": 900})
    page.context.close()
    assert (said, elsewhere) == ([], [])


def test_the_chart_draws_the_price_periods(world: World, browser: Any, said: list[str]) -> None:
    """Each horizontal line maps back to a period, in time and in price; nothing is drawn where there was no price."""
    page = opened(browser, said)
    page.goto(world.url + MODEL)
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("svg.plot g.line line, svg.plot g.maybe line")]
        .map(l => ["x1", "x2", "y1", "y2"].map(a => parseFloat(l.getAttribute(a))))"""
    )
    page.context.close()
    with history.connect(world.database) as connection:
        periods = history.price_periods(connection, R1, source="acme")
    start, end = periods[0].valid_from, world.clock()
    known = [period for period in periods if period.price is not None]
    top, height = 280 * 1.0, float(max(period.price or 0 for period in known)) * 1.12

    def x(at: datetime) -> float:
        return (at - start) / (end - start) * 100

    flat = [(x1, x2, y1) for x1, x2, y1, y2 in drawn if y1 == y2]
    for period in known:
        y = top * (1 - float(period.price or 0) / height)
        its = [
            (x1, x2)
            for x1, x2, at in flat
            if abs(at - y) < 1 and x(period.valid_from) - 0.1 <= x1 <= x2 <= x(period.valid_to or end) + 0.1
        ]
        assert its, period
        assert abs(min(x1 for x1, _ in its) - x(period.valid_from)) < 0.1
        assert abs(max(x2 for _, x2 in its) - x(period.valid_to or end)) < 0.1
    for before, after in pairwise(known):
        if before.valid_to != after.valid_from and before.valid_to is not None:
            gap = (x(before.valid_to) + 0.2, x(after.valid_from) - 0.2)
            assert not [line for line in drawn if line[0] < gap[1] and line[1] > gap[0]]


def test_windows_of_doubt_are_those_of_the_changes(world: World, browser: Any, said: list[str]) -> None:
    """The shaded parts are (changed_after, effective_at], each once."""
    page = opened(browser, said)
    page.goto(world.url + MODEL)
    rects = page.evaluate(
        """() => [...document.querySelectorAll("svg.plot rect.doubt")]
        .map(r => [parseFloat(r.getAttribute("x")), parseFloat(r.getAttribute("width"))])"""
    )
    page.context.close()
    with history.connect(world.database) as connection:
        rows = [row for row in history.changes(connection, model=R1, source="acme") if row.changed_after is not None]
        start = history.price_periods(connection, R1, source="acme")[0].valid_from
    span = world.clock() - start
    wanted = {
        (round((row.changed_after - start) / span * 100, 1), round((row.effective_at - start) / span * 100, 1))
        for row in rows
        if row.changed_after is not None
    }
    found = {(round(x, 1), round(x + width, 1)) for x, width in rects}
    assert all(any(abs(a - c) < 0.15 and abs(b - d) < 0.15 for c, d in wanted) for a, b in found)
    assert len(rects) == len(wanted)


def test_everything_works_without_javascript(world: World, browser: Any, said: list[str]) -> None:
    """Search, another date, sorting, paging of the log and comparing, by forms and links alone."""
    page = opened(browser, said, java_script_enabled=False)
    page.goto(f"{world.url}/catalog")
    page.fill("input[name=q]", "qwq")
    page.click("form button")
    assert page.locator("tbody tr").count() == 1
    page.fill("input[name=at]", "2026-01-06")
    page.click("form button")
    assert "as it was at" in page.inner_text("h1")
    page.goto(f"{world.url}/catalog")
    page.click("thead a:has-text('Price')")
    assert page.locator("th[aria-sort=ascending]").first.inner_text().startswith("Price")
    page.click("tbody th a >> nth=0")
    assert page.locator("svg.plot title").count() > 0
    page.context.close()


def test_the_chart_is_read_by_keyboard(world: World, browser: Any, said: list[str]) -> None:
    """Arrow keys say each period's words; an unknown price is never 0."""
    page = opened(browser, said)
    page.goto(world.url + MODEL)
    page.focus("svg.plot")
    page.keyboard.press("Home")
    heard = []
    for _ in range(12):
        heard.append(page.inner_text(".readout"))
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert page.inner_text(".readout").startswith("Point at the chart")
    page.context.close()
    assert heard[0].startswith("2.19 USD / 1M tokens from 1 Jan 2026 00:00 to 5 Jan 2026 00:00")
    assert any(text.startswith("Not listed from") for text in heard)
    assert any(text.startswith("unknown") for text in heard)
    assert not any(re.match(r"0 ", text) for text in heard)


def test_the_report_needs_nothing_but_itself(world: World, browser: Any, said: list[str], tmp_path: Path) -> None:
    """From a file, offline: no request, no console message, no id twice, one section at a time, readout works."""
    site = Site(db.open_engine(world.database, read_only=True), settings_of(world.database), clock=world.clock)
    with site.reading() as connection:
        visit = site.visit(connection, Query((), world.clock()), "/")
        text = report(visit, Wanted(since=instant("01-01"), limit=5))
    site.engine.dispose()
    file = tmp_path / "report.html"
    file.write_text(text, "utf-8")
    page = opened(browser, said, offline=True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.is_visible("#overview h1")
    page.click("nav a:has-text('Catalog')")
    assert page.is_visible("#catalog h1")
    assert not page.is_visible("#overview h1")
    page.click("#catalog tbody th a >> nth=0")
    page.focus("section:target svg.plot")
    page.keyboard.press("Home")
    assert "from" in page.inner_text("section:target .readout")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/report.png", full_page=True)
    assert "Left out" in page.text_content("#models")
    page.context.close()
    assert said == []
    assert [url for url in requests if not url.startswith("file:")] == []


def test_every_link_leads_somewhere(world: World) -> None:
    """Each link of each page answers 200, those to feeds, twins and anchors too."""
    seen: set[str] = set()
    todo = list(PAGES.values())
    with httpx.Client(base_url=world.url, timeout=30) as client:
        while todo and len(seen) < 250:
            path = todo.pop(0)
            if path in seen:
                continue
            seen.add(path)
            answer = client.get(path)
            assert answer.status_code == 200, path
            if answer.headers["content-type"].startswith("text/html") and len(seen) < 60:
                todo += [unescape(href) for href in re.findall(r'href="(/[^"#]*)', answer.text)]
    assert len(seen) > 80


def test_lateness_is_seen(world: World, browser: Any, said: list[str]) -> None:
    """With the clock nine hours on, every page warns in red, with a sign and in words."""
    world.ahead = timedelta(hours=9)
    page = opened(browser, said)
    try:
        for path in ("/", "/catalog", MODEL, "/manual"):
            page.goto(world.url + path)
            assert "Stale" in page.inner_text("header")
            assert page.is_visible(".note.bad")
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/stale.png", full_page=True)
    finally:
        world.ahead = timedelta(0)
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(world: World, browser: Any, said: list[str], scheme: str) -> None:
    """No violation on any page, in either scheme: contrast, names, roles, order, landmarks."""
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        (pytest.fail if IN_CI else pytest.skip)("no axe here: install the dev extra")
    axe = Path(str(spec.origin)).with_name("axe.min.js").read_text("utf-8")
    page = opened(browser, said, color_scheme=scheme)
    found = []
    for name, path in PAGES.items():
        page.goto(world.url + path)
        page.evaluate(axe)
        for violation in page.evaluate("axe.run().then(result => result.violations)"):
            places = [node["html"][:120] for node in violation["nodes"][:3]]
            found.append(f"{name}: {violation['id']}: {places}")
    page.context.close()
    assert found == []
