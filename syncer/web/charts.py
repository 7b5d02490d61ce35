"""Charts as SVG from the server: steps are horizontal and vertical, so x is a percentage and y a pixel.

- One drawing therefore fits every width: it stretches, its text does not, and it needs neither a viewBox nor a script.
- A line is solid as far as its price was seen, dashed where it is believed and was not seen. Nothing is drawn where
  there was no price; a riser joins two known prices only. Null is never 0.
- Texts are escaped here; numbers and percentages are our own.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from math import ceil, floor, log10

import msgspec
from markupsafe import Markup, escape

_LONGEST = 7  # characters of a tiny price that have room beside a chart
_LEAST = 0.12  # percent of the width: less is less than a pixel
_MOST_LINES = 6
_MOST_STEPS = 400  # of all lines of a chart
_MOST_BANDS = _MOST_HITS = 120
_COLUMN = 0.5  # percent of the width, within which a line that moves very often is drawn by its extremes


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A price that held in `[start, end)`; it was seen until `sure`. `joined`: it follows on the step before."""

    start: datetime
    end: datetime
    price: Decimal | None
    sure: datetime
    joined: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one price; `letter` names it where there are several, `open` if its last step still holds."""

    letter: str
    steps: Sequence[Step]
    open: bool


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the time that is told apart: `doubt` (it changed somewhere in here) or `off` (no price is known)."""

    css: str
    start: datetime
    end: datetime
    label: str = ""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a part of the time under the pointer."""

    start: datetime
    end: datetime
    text: str


class _Scale:
    """Prices to pixels from the top: from 0 up, or by powers of ten."""

    def __init__(self, values: Iterable[Decimal | None], height: int, *, log: bool = False) -> None:
        known = [float(value) for value in values if value is not None and value >= 0] or [1.0]
        self.height, self.log = height, log and any(value > 0 for value in known)
        if self.log:
            positive = [value for value in known if value > 0]
            low, high = min(positive) / 1.3, max(positive) * 1.3
            self.low, self.high = log10(low), log10(high)
            powers = range(floor(self.low), ceil(self.high))
            self.ticks = [tick for power in powers for n in (1, 2, 5) if low <= (tick := float(f"{n}e{power}")) <= high]
            self.ticks = self.ticks[:: ceil(len(self.ticks) / 8) or 1]
        else:
            top = max(known) * 1.12 or 1.0
            step = _nice(top / 4)
            self.ticks = [step * n for n in range(int(top / step) + 1)]
            self.low, self.high = 0.0, top

    def y(self, value: Decimal | float) -> float:
        number = float(value)
        place = (log10(number) if number > 0 else self.low) if self.log else max(number, 0.0)
        return round(self.height * (1 - (place - self.low) / (self.high - self.low)), 1)


def _nice(step: float) -> float:
    power = 10.0 ** floor(log10(step))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= step * 0.999)


def short(value: Decimal | float | None) -> str:
    """A price beside a line."""
    if value is None:
        return "unknown"
    if value == 0:
        return "free"
    number = (value if isinstance(value, Decimal) else Decimal(f"{value:.12g}")).normalize()
    text = format(number, "f")
    return text if number >= 1 or len(text) <= _LONGEST else f"{float(number):.3g}".replace("e-0", "e-")


def _months(start: datetime, end: datetime) -> Iterator[datetime]:
    at = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while at < end:
        at = (at + timedelta(days=32)).replace(day=1)
        if start <= at < end:
            yield at


def _dates(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """At most seven, on round dates."""
    days = (end - start).days
    if days > 70:
        marks = list(_months(start, end))
        every = max(ceil(len(marks) / 6), 1)
        return [(mark, f"{mark:%b %Y}" if mark.month == 1 else f"{mark:%b}") for mark in marks[::every]]
    every = max(1, ceil(days / 6))
    first = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    marks = [first + timedelta(days=day) for day in range(0, days, every)]
    return [(mark, f"{mark:%-d %b}") for mark in marks]


class _Frame:
    def __init__(self, start: datetime, end: datetime, height: int) -> None:
        self.start, self.end, self.height = start, max(end, start + timedelta(hours=1)), height
        self.out: list[str] = []

    def x(self, at: datetime) -> float:
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return round(share * 100, 2)

    def add(self, text: str) -> None:
        self.out.append(text)

    def axes(self, scale: _Scale) -> None:
        for tick in scale.ticks:
            y = scale.y(tick)
            css = "axis" if tick == 0 and not scale.log else "gridline"
            self.add(f'<line class="{css}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
            self.add(f'<text class="tick" x="-8" y="{y + 4}" text-anchor="end">{short(tick) if tick else "0"}</text>')
        for at, label in _dates(self.start, self.end):
            x = self.x(at)
            if 1 < x < 97:
                self.add(f'<line class="gridline" x1="{x}%" x2="{x}%" y1="{self.height}" y2="{self.height + 5}"/>')
                self.add(f'<text class="tick" x="{x}%" y="{self.height + 19}" text-anchor="middle">{label}</text>')

    def band(self, band: Band) -> None:
        x, width = self.x(band.start), round(self.x(band.end) - self.x(band.start), 2)
        if width < _LEAST:
            return
        self.add(f'<rect class="{band.css}" x="{x}%" width="{width}%" height="{self.height}"/>')
        middle, label = round(x + width / 2, 2), escape(band.label)
        if label and width > 16:
            self.add(f'<text class="off-text" x="{middle}%" y="{self.height - 8}" text-anchor="middle">{label}</text>')
        elif label and width > 1.8:
            self.add(f'<text class="off-text tall" x="{middle}%" y="8">{label}</text>')

    def svg(self, css: str, title: str, *, extra: int = 26) -> Markup:
        return Markup(  # noqa: S704 - each text in it was escaped where it was added
            f'<svg class="{css}" width="100%" height="{self.height + extra}" role="img" aria-label="{escape(title)}">'
            f"{''.join(self.out)}</svg>"
        )


def price_chart(
    lines: Sequence[Line],
    bands: Iterable[Band],
    hits: Iterable[Hit],
    *,
    start: datetime,
    end: datetime,
    title: str,
    log: bool = False,
) -> Markup:
    """Up to six prices of one unit on one scale. Of one, each step has its value; of several, each line its letter."""
    lines = lines[:_MOST_LINES]
    moved = any(len(line.steps) > 1 for line in lines) or len(lines) > 1
    frame = _Frame(start, end, 280 if moved else 140)  # a price that never moved needs no room to move
    scale = _Scale((step.price for line in lines for step in line.steps), frame.height, log=log)
    for band in _merged(frame, bands):
        frame.band(band)
    frame.axes(scale)
    for number, line in enumerate(lines, 1):
        thin = msgspec.structs.replace(line, steps=_thinned(frame, line.steps, _MOST_STEPS // len(lines)))
        _draw(frame, scale, thin, f"k{number}", values=len(lines) == 1)
    _ends(frame, scale, lines)
    for hit in _told(frame, list(hits)):
        x1, x2 = frame.x(hit.start), frame.x(hit.end)
        if x2 > x1:
            frame.add(
                f'<rect class="hit" x="{x1}%" width="{round(x2 - x1, 2)}%" height="{frame.height}" data-x="{x1}">'
                f"<title>{escape(hit.text)}</title></rect>"
            )
    return frame.svg("plot", title)


def _told(frame: _Frame, hits: Sequence[Hit]) -> Iterator[Hit]:
    """The same where there are few; else one for each part of the width, which says how many it stands for."""
    if len(hits) <= _MOST_HITS:
        yield from hits
        return
    for _, column in groupby(hits, key=lambda hit: int(frame.x(hit.start) * _MOST_HITS / 100)):
        first, *rest = column
        last = rest[-1] if rest else first
        several = f"{1 + len(rest)} prices from {first.start:%-d %b %Y %H:%M} to {last.end:%-d %b %Y %H:%M}."
        yield Hit(start=first.start, end=last.end, text=several) if rest else first


def _thinned(frame: _Frame, steps: Sequence[Step], most: int) -> Sequence[Step]:
    """The same line in fewer pieces where it has very many: of each narrow column first, lowest, highest, last."""
    if len(steps) <= most:
        return steps
    kept: list[Step] = []
    for _, column in groupby(steps, key=lambda step: int(frame.x(step.start) / _COLUMN)):
        its = list(column)
        known = [step for step in its if step.price is not None]
        ends = (min(known, key=_price), max(known, key=_price)) if known else ()
        chosen = sorted({id(step): step for step in (its[0], *ends, its[-1])}.values(), key=lambda step: step.start)
        whole = all(step.joined for step in its[1:])
        kept += [
            msgspec.structs.replace(step, end=after.start, sure=max(step.sure, after.start))
            if whole and after
            else step
            for step, after in pairwise([*chosen, None])
            if step is not None
        ]
    return kept


def _price(step: Step) -> Decimal:
    return step.price if step.price is not None else Decimal(0)


def _merged(frame: _Frame, bands: Iterable[Band]) -> list[Band]:
    """The same bands once, those of doubt below the others; where there are very many, neighbours as one."""
    once = {(band.css, band.start, band.end): band for band in bands}
    doubts = sorted((band for band in once.values() if band.css == "doubt"), key=lambda band: band.start)
    others = sorted((band for band in once.values() if band.css != "doubt"), key=lambda band: band.start)
    return [*(doubts if len(doubts) <= _MOST_BANDS else _joined(frame, doubts)), *others]


def _joined(frame: _Frame, bands: Iterable[Band]) -> list[Band]:
    """Bands by their start, those of which nobody would see where the one ends and the next begins in one."""
    found: list[Band] = []
    for band in bands:
        if found and frame.x(band.start) - frame.x(found[-1].end) < _LEAST:
            found[-1] = msgspec.structs.replace(found[-1], end=max(found[-1].end, band.end))
        else:
            found.append(band)
    return found


def _draw(frame: _Frame, scale: _Scale, line: Line, css: str, *, values: bool) -> None:
    seen, believed = [], []
    for before, step in pairwise([None, *line.steps]):
        if step is None or step.price is None or step.price < 0 or step.end <= frame.start or step.start >= frame.end:
            continue
        y = scale.y(step.price)
        x1, sure, x2 = frame.x(step.start), frame.x(min(step.sure, step.end)), frame.x(step.end)
        known = before is not None and before.price is not None and before.price >= 0
        if before is not None and before.price is not None and known and step.joined and step.start >= frame.start:
            seen.append(f'<line x1="{x1}%" x2="{x1}%" y1="{scale.y(before.price)}" y2="{y}"/>')
        if sure > x1:
            seen.append(f'<line x1="{x1}%" x2="{sure}%" y1="{y}" y2="{y}"/>')
        if x2 - sure > _LEAST:
            believed.append(f'<line x1="{sure}%" x2="{x2}%" y1="{y}" y2="{y}"/>')
        last = step is line.steps[-1] and line.open
        if values and not last and x2 - x1 > 3.2:
            far = "" if x2 - x1 > 13 else " lw"
            frame.add(f'<text class="value{far}" x="{x1}%" dx="5" y="{y - 7}">{short(step.price)}</text>')
    for kind, drawn in (("line", seen), ("maybe", believed)):
        if drawn:
            frame.add(f'<g class="{kind} {css}">{"".join(drawn)}</g>')


def _ends(frame: _Frame, scale: _Scale, lines: Sequence[Line]) -> None:
    """The last price of each line: of several with its letter, none of them over another or below the axis."""
    ends: list[tuple[float, int, float, str]] = []
    for number, line in enumerate(lines, 1):
        last = line.steps[-1] if line.steps else None
        if last is None or last.price is None or last.price < 0 or not (line.open or len(lines) > 1):
            continue
        letter = f'{escape(line.letter)} <tspan font-weight="400">{short(last.price)}</tspan>'
        text = short(last.price) if len(lines) == 1 else letter
        ends.append((scale.y(last.price), number, frame.x(last.end), text))
    ends.sort()
    ceiling, places = frame.height + 15.0, []
    for y, *_ in reversed(ends):
        ceiling = min(y, ceiling - 15)
        places.append(ceiling)
    for (y, number, x, text), place in zip(ends, reversed(places), strict=True):
        css = "value" if len(lines) == 1 else f"k{number} end"
        frame.add(f'<circle class="k{number}" cx="{x}%" cy="{y}" r="4"/>')
        frame.add(f'<text class="{css}" x="{x}%" dx="9" y="{place + 4}">{text}</text>')


# -- small ones --------------------------------------------------------------------------------------------------------


def spark(steps: Sequence[tuple[datetime, Decimal | None]], *, start: datetime, end: datetime, title: str) -> Markup:
    """120 by 26, on a scale of its own; a gap where it was not listed or unknown."""
    width, height, pad = 120, 26, 4
    spans = [
        (at, following[0], price) for (at, price), following in pairwise([*steps, (end, None)]) if price is not None
    ]
    spans = [span for span in spans if span[1] > start]
    if not spans:
        return Markup('<span class="dim small">no price</span>')
    low, high = min(float(price) for *_, price in spans), max(float(price) for *_, price in spans)

    def x(at: datetime) -> float:
        return round(2 + (width - 8) * ((min(max(at, start), end) - start) / (end - start)), 1)

    def y(price: Decimal) -> float:
        share = (float(price) - low) / ((high - low) or 1)
        return round(height / 2 if high == low else height - pad - (height - 2 * pad) * share, 1)

    path, before = [], None
    for at, until, price in spans:
        path.append(f"V{y(price):g}" if before == at else f"M{x(at):g} {y(price):g}")
        path.append(f"H{x(until):g}")
        before = until
    return Markup(
        '<svg class="spark k1" viewBox="0 0 {} {}" role="img" aria-label="{}"><path d="{}"/>'
        '<circle cx="{:g}" cy="{:g}" r="2"/></svg>'
    ).format(width, height, title, "".join(path), x(spans[-1][1]), y(spans[-1][2]))


def activity(days: Sequence[tuple[date, int, bool]], *, title: str, height: int = 64) -> Markup:
    """A bar for each day: (day, changes, observed). A day without an observation is hatched."""
    width, out = 100 / len(days), []
    most = max((changes for _, changes, _ in days), default=1) or 1
    for number, (day, changes, observed) in enumerate(days):
        x, named = round(number * width, 3), f"{day:%-d %b %Y}"
        if not observed:
            out.append(
                f'<rect class="off" x="{x}%" width="{round(width, 3)}%" y="0" height="{height}">'
                f"<title>{named}: not observed</title></rect>"
            )
        elif changes:
            bar = max(3, round((changes / most) ** 0.5 * (height - 6)))
            out.append(
                f'<rect class="bar" x="{x}%" width="{round(width * 0.8, 3)}%" y="{height - bar}" height="{bar}">'
                f"<title>{named}: {changes} change{'s' * (changes != 1)}</title></rect>"
            )
    out.append(f'<line class="axis" x1="0" x2="100%" y1="{height}" y2="{height}"/>')
    first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in (days[0][0], days[-1][0]))
    for at in _months(first, last):
        x = round((at - first).days / len(days) * 100, 2)
        if 2 < x < 96:
            out.append(f'<text class="tick" x="{x}%" y="{height + 15}">{at:%b}</text>')
    return Markup('<svg width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height + 20,
        title,
        Markup("".join(out)),  # noqa: S704 - only days and numbers of ours
    )


_TALL = {"changed": 22, "unchanged": 10, "held": 22, "failed": 26, "abandoned": 26, "skipped": 5}
_CSS = {"changed": "b-ok", "held": "b-held", "failed": "b-failed", "abandoned": "b-failed"}


def strip(runs: Sequence[tuple[str, str]], *, title: str, height: int = 26) -> Markup:
    """The last runs of a source as (outcome, words), the newest at the right: tall = changed, short = nothing new."""
    width, out = 100 / max(len(runs), 30), []
    for number, (outcome, text) in enumerate(runs):
        tall, x = _TALL.get(outcome, 8), round(number * width, 2)
        out.append(
            f'<rect class="{_CSS.get(outcome, "none")}" x="{x}%" width="{round(width * 0.72, 2)}%" '
            f'y="{height - tall}" height="{tall}"><title>{escape(text)}</title></rect>'
        )
        if outcome in {"failed", "abandoned"}:
            out.append(f'<text class="tick" x="{round(x + 0.36 * width, 2)}%" y="-3" text-anchor="middle">x</text>')
    return Markup('<svg width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height,
        title,
        Markup("".join(out)),  # noqa: S704 - texts were escaped above
    )
