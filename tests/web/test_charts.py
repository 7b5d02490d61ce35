"""Charts drawn from values: what is bounded, and what is never joined."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from syncer.web.charts import Line, Step, price_chart, spark

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
    drawn = price_chart([Line(letter="P", steps=its, open=True)], [], [], start=START, end=its[-1].end, title="P")
    assert len(drawn) < 300_000
    ys = {float(y) for y in re.findall(r'class="line k1"[^>]*y1="([\d.]+)"', drawn)}
    assert min(ys) < 280 * (1 - 7 / (7 * 1.12)) + 1
    assert max(ys) > 280 * (1 - 1 / (7 * 1.12)) - 1


def test_a_gap_is_a_gap() -> None:
    """Neither a chart nor a sparkline joins two prices over a time without one; no price is not 0."""
    day = timedelta(days=1)
    its = [
        Step(start=START, end=START + day, price=Decimal(2), sure=START + day),
        Step(start=START + 2 * day, end=START + 3 * day, price=Decimal(4), sure=START + 3 * day),
    ]
    drawn = price_chart([Line(letter="P", steps=its, open=True)], [], [], start=START, end=START + 3 * day, title="P")
    assert len(re.findall(r'<line class="line k1"', drawn)) == 2
    assert not re.search(r'<line class="line k1" x1="([\d.]+)%" x2="\1%"', drawn)
    path = spark(
        [(START, Decimal(2)), (START + day, None), (START + 2 * day, Decimal(4))],
        start=START,
        end=START + 3 * day,
        title="P",
    )
    assert len(re.findall("M", re.findall(r'd="([^"]+)"', path)[0])) == 2
