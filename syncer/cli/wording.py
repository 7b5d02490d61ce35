"""How a change is said in one line."""

from decimal import Decimal
from typing import Any

from syncer.core.model import TRACKED, Change
from syncer.settings import SourceSettings
from syncer.sync import Report

_SIGNS = {"added": "+", "removed": "-", "relisted": "+", "repriced": "~", "updated": "."}


def change_line(data: dict[str, Any]) -> str:
    """One change, given as the data of its event: `~ acme/large  0.5 -> 0.4 (-20 %)`."""
    kind, name = data["kind"], data["model"]
    start = f"{_SIGNS[kind]} {kind:<8}  {name}"
    if kind == "added":
        return f"{start}  {price(data['price'])}"
    if kind == "removed":
        return f"{start}  (was {price(data['old_price'])})"
    moved = [f"{field} {_value(pair[0])} -> {_value(pair[1])}" for field, pair in data["changed"].items()]
    if data["percent"] is not None:
        moved = [f"{part} ({_percent(data['percent'])})" if part.startswith("price ") else part for part in moved]
    return f"{start}  {'; '.join(moved) if moved else price(data['price'])}"


def price(value: Decimal | None) -> str:
    """A price as a person reads it."""
    return "unknown" if value is None else format(value, "f")


def _percent(value: Decimal) -> str:
    rounded = value.quantize(Decimal("0.1")) if abs(value) < 10_000 else value.quantize(Decimal(1))
    return f"{rounded.normalize():+f} %"


def _value(value: object) -> str:
    if isinstance(value, Decimal) or value is None:
        return price(value)
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def summary(report: Report) -> str:
    """A run in one line: what changed, what could not be read or believed yet, and how many were listed."""
    counts = {kind.value: count for kind, count in report.counts.items()}
    counts |= {"unreadable": report.rejected, "withheld": report.withheld, "missing, unconfirmed": report.missing}
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    listed = "" if report.listed is None else f" ({report.listed} listed)"
    dry = "would be " if report.run_id is None else ""
    return f"{dry}{report.outcome}{': ' if parts else ''}{', '.join(parts)}{listed}"


def preview_event(change: Change, report: Report, source: SourceSettings) -> dict[str, Any]:
    """What the event of a change would be, had the run been a real one: without an id, as the feed has none for it."""
    from syncer.alerts.event import event
    from syncer.history import ChangeRow

    listing = change.listing
    row = ChangeRow(
        id=0,
        source=source.name,
        run_id=0,
        model_id=change.model_id or 0,
        kind=change.kind,
        observed_at=report.observed_at,
        effective_at=change.effective_at,
        changed_after=change.changed_after,
        name=listing.name,
        **{field: getattr(listing, field) for field in TRACKED},
        old_price=change.old_price,
        changed={field: list(pair) for field, pair in change.changed.items()},
        reverts_id=None,
        currency=source.currency,
        unit=source.price_units.get(listing.type or ""),
    )
    whole = event(row, feed="")
    return {key: whole[key] for key in ("type", "subject", "time")} | {"data": whole["data"] | {"run_id": None}}
