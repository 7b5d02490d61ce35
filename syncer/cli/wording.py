"""How a change, and a run, is said in one line."""

from typing import Any

from syncer.core.words import describe_change
from syncer.report import Report

_SIGNS = {"added": "+", "removed": "-", "relisted": "+", "repriced": "~", "updated": "."}


def change_line(data: dict[str, Any]) -> str:
    """One change, given as the data of its event: `~ repriced  acme/large  price 0.5 -> 0.4 (-20 %)`."""
    return f"{_SIGNS.get(data['kind'], ' ')} {data['kind']:<8}  {data['model']}  {describe_change(data)}"


def summary(report: Report) -> str:
    """A run in one line: what changed, what could not be read or believed yet, and how many were listed."""
    result = report.result
    counts = {kind.value: count for kind, count in result.counts.items()}
    counts |= {"unreadable": result.rejected, "withheld": result.withheld, "missing, unconfirmed": report.missing}
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    listed = "" if result.listed is None else f" ({result.listed} listed)"
    dry = "would be " if report.run_id is None else ""
    return f"{dry}{report.outcome}{': ' if parts else ''}{', '.join(parts)}{listed}{run_of(report.run_id)}"


def run_of(run_id: int | None) -> str:
    """The run that a line speaks of, at its end: `syncer runs` has more of it, and `syncer revert` takes it."""
    return "" if run_id is None else f" [run {run_id}]"
