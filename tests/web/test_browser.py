"""The pages in a real Chromium: nothing on the console, nothing that overflows, and charts that draw what is true.

Chromium is the system's own, driven by playwright. Where it is missing these tests skip and say so; in CI they fail.
"""

import os
import re
import shutil
from base64 import b64encode
from collections import Counter
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
    "manual": "/manual/web",
}
PICTURE = Path(__file__).resolve().parents[2] / "syncer" / "manual" / "model.png"
DIFFERENT = """async sources => {
  const pixels = await Promise.all(sources.map(async source => {
    const image = await createImageBitmap(await (await fetch(source)).blob());
    const canvas = new OffscreenCanvas(848, 500), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, 848, 500).data;
  }));
  let count = 0;
  for (let at = 0; at < pixels[0].length; at += 4) count += Math.abs(pixels[0][at] - pixels[1][at]) > 60;
  return count / (848 * 500);
}"""
"""The share of the pixels in which two pictures differ."""
SHOTS = os.environ.get("SYNCER_SHOTS")
"""A folder for pictures of every page, to be looked at."""


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, out of the wheel that has it."""
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        (pytest.fail if IN_CI else pytest.skip)("no axe here: install the dev extra")
    return Path(str(spec.origin)).with_name("axe.min.js").read_text("utf-8")


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


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_quiet_accessible_and_fits(
    world: World, browser: Any, axe: str, said: list[str], name: str
) -> None:
    """No console message, refusal of the content policy or request elsewhere; no axe violation, light or dark, wide or
    narrow; no overflow down to 320 pixels.
    """
    page = opened(browser, said)
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(world.url) else elsewhere.append(request.url))
    page.goto(world.url + PAGES[name])
    page.evaluate(axe)
    found = violations(page)
    for width in (1280, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
            if width != 320:
                found += violations(page, "color-contrast")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"overflows at {width}"
    page.context.close()
    assert (said, elsewhere, found) == ([], [], [])


def violations(page: Any, *rules: str) -> list[str]:
    """What axe finds, by these rules or by all."""
    options: dict[str, Any] = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("options => axe.run(options).then(result => result.violations)", options)
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]


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
    kinds: Counter[tuple[str, ...]] = Counter()  # of a path with these parameters, a few stand for all
    todo = list(PAGES.values())
    with httpx.Client(base_url=world.url, timeout=30) as client:
        while todo:
            path = todo.pop(0)
            kind = (path.partition("?")[0], *sorted(re.findall(r"[?&](\w+)=", path)))
            if path in seen or kinds[kind] == 3:
                continue
            seen.add(path)
            kinds[kind] += 1
            answer = client.get(path)
            assert answer.status_code == 200, path
            if answer.headers["content-type"].startswith("text/html"):
                todo += [unescape(href) for href in re.findall(r'href="(/[^"#]*)', answer.text)]
    assert len(kinds) > 40


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


def test_the_manuals_picture_is_of_this_very_page(world: World, browser: Any, said: list[str]) -> None:
    """The picture in the README and the manual is what the page shows, small, and of some use without a zoom.

    With SYNCER_SHOTS the new one is put there, to be looked at and kept.
    """
    page = opened(browser, said, 848)
    page.goto(world.url + MODEL)
    top, bottom = page.evaluate(
        """() => ["h2#chart", "figure.chart"].map(name => document.querySelector(name).getBoundingClientRect())
        .map((box, last) => last ? box.bottom : box.top)"""
    )
    clip = {"x": 0, "y": top - 8, "width": 848, "height": bottom - top + 16}
    taken = page.screenshot(clip=clip, full_page=True)
    if SHOTS:
        Path(f"{SHOTS}/{PICTURE.name}").write_bytes(taken)
    kept = PICTURE.read_bytes()
    assert len(kept) < 60_000
    images = [f"data:image/png;base64,{b64encode(image).decode()}" for image in (kept, taken)]
    page.goto("about:blank")
    assert page.evaluate(DIFFERENT, images) < 0.05  # another machine has other fonts
    page.context.close()
