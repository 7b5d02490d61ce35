"""Charts drawn from values: what is bounded, and what is never joined."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from syncer.web.charts import Band, Hit, Line, Step, price_chart, short, spark

START = datetime(2026, 1, 1, tzinfo=UTC)


def steps(count: int) -> list[Step]:
    """So many hourly steps, no two neighbours alike."""
    hours = [START + timedelta(hours=number) for number in range(count + 1)]
    return [
        Step(start=at, end=hours[number + 1], price=Decimal(number % 7 + 1), sure=hours[number + 1], joined=number > 0)
        for number, at in enumerate(hours[:-1])
    ]


def test_a_long_history_stays_a_small_drawing() -> None:
    """Ten thousand moves cost no more than some hundred pixels can show, and keep their extremes."""
    its = steps(10_000)
    bands = [Band(css="doubt", start=one.start, end=one.end) for one in its]
    hits = [Hit(start=one.start, end=one.end, text=f"{one.price} for an hour") for one in its]
    drawn = price_chart([Line(letter="P", steps=its, open=True)], bands, hits, start=START, end=its[-1].end, title="P")
    assert len(drawn) < 120_000
    ys = {float(y) for y in re.findall(r'<line x1="[^>]*y1="([\d.]+)"', drawn)}
    assert min(ys) < 280 * (1 - 7 / (7 * 1.12)) + 1
    assert max(ys) > 280 * (1 - 1 / (7 * 1.12)) - 1
    assert re.findall(r'<rect class="doubt" x="([\d.]+)%" width="([\d.]+)%"', drawn) == [("0.0", "100.0")]
    counts = [int(count) for count in re.findall(r"<title>(\d+) prices from", drawn)]
    assert (len(counts), sum(counts)) == (120, 10_000)


def test_what_lies_between_bands_of_doubt_stays_free() -> None:
    """However many there are, only those that nobody could tell apart become one."""
    hours = [START + timedelta(hours=number) for number in range(2_000)]
    spells = [len(list(its)) for doubtful, its in groupby(hours, key=lambda at: at.day % 10 < 5) if doubtful]
    bands = [Band(css="doubt", start=at, end=at + timedelta(hours=1)) for at in hours if at.day % 10 < 5]
    line = Line(letter="P", steps=steps(2_000), open=True)
    drawn = price_chart([line], bands, [], start=START, end=START + timedelta(hours=2_000), title="P")
    widths = re.findall(r'class="doubt" x="[\d.]+%" width="([\d.]+)%"', drawn)
    assert [round(float(width) * 20) for width in widths] == spells


def test_a_gap_is_a_gap() -> None:
    """Neither a chart nor a sparkline joins two prices over a time without one; no price is not 0."""
    day = timedelta(days=1)
    its = [
        Step(start=START, end=START + day, price=Decimal(2), sure=START + day),
        Step(start=START + 2 * day, end=START + 3 * day, price=Decimal(4), sure=START + 3 * day),
    ]
    drawn = price_chart([Line(letter="P", steps=its, open=True)], [], [], start=START, end=START + 3 * day, title="P")
    (line,) = re.findall(r'<g class="line k1">(.*?)</g>', drawn)
    assert line.count("<line") == 2
    assert not re.search(r'<line x1="([\d.]+)%" x2="\1%"', line)
    path = spark(
        [(START, Decimal(2)), (START + day, None), (START + 2 * day, Decimal(4))],
        start=START,
        end=START + 3 * day,
        title="P",
    )
    assert len(re.findall("M", re.findall(r'd="([^"]+)"', path)[0])) == 2


def test_a_label_has_room_beside_the_chart() -> None:
    """A tiny price is written with its power of ten, and no other; the table has it in full."""
    prices = ("0.55", "0.00245", "0.00000125", "0.000283333333333333", "123456.789", "0")
    wanted = ["0.55", "0.00245", "1.25e-6", "0.000283", "123456.789", "free"]
    assert [short(Decimal(price)) for price in prices] == wanted
