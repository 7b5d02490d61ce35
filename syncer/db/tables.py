"""The tables, as the manual promises them (the data contract). Each column says what it is; PostgreSQL shows it too.

They are plain Table objects, because the sync path must not pay for importing the ORM (as long as all of SQLAlchemy's
core again); `syncer.db.models` maps classes onto them for whoever wants those. Single-row facts that no later version
can want otherwise are CHECK constraints: on SQLite they are for ever. Open sets, such as kinds, are held by triggers.
"""

from typing import Any

import sqlalchemy as sa

from syncer.core.fields import FIELDS
from syncer.db.types import BIG_ID, COMPONENT, JSON, NAME, JSONBinary, Price, UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_TYPES: dict[str, Any] = {"text": sa.Text, "name": sa.String(255), "integer": sa.BigInteger, "time": UtcDateTime}


def _tracked() -> list[sa.Column[Any]]:
    """A fresh column for each tracked field: a Column belongs to one table."""
    return [sa.Column(field.name, _TYPES[field.column], comment=field.comment or None) for field in FIELDS]


def _same(left: str, right: str) -> str:
    """SQL for "equal, or both NULL" that each dialect takes and that is never NULL itself."""
    return f"(({left} IS NULL) = ({right} IS NULL) AND coalesce({left} = {right}, {left} IS NULL))"


_WINDOW = "changed_after IS NULL OR changed_after < effective_at"
_ADDED = "kind <> 'added' OR old_price IS NULL"
_REMOVED = f"kind <> 'removed' OR {_same('price', 'old_price')}"

sources = sa.Table(
    "sources",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", NAME, nullable=False, comment="as configured; unique"),
    sa.Column("url", sa.Text, nullable=False, comment="the endpoint last observed, without query or credentials"),
    sa.Column("format", sa.String(64), nullable=False, comment="how that endpoint writes its catalog"),
    sa.Column("headline", COMPONENT, nullable=False, comment="which component is in the columns price and old_price"),
    sa.Column("currency", sa.String(16), comment="of its prices; NULL = unknown, the endpoint does not say"),
    sa.Column(
        "price_units",
        JSONBinary,
        comment="component -> [quantity, word]; of the component price by type: type -> [quantity, word]",
    ),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("salt", sa.LargeBinary(16), nullable=False, comment="salt of the credential fingerprints in runs"),
    sa.Column("lease_owner", sa.String(255), comment="who is syncing this source now; NULL = nobody"),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0", comment="fencing token; only rises"),
    sa.Column("lease_until", UtcDateTime, comment="when the lease may be taken over"),
    sa.Column("interval_seconds", sa.Integer, comment="how often it is meant to be polled; NULL = not said"),
    sa.Column("next_due_at", UtcDateTime, comment="when the daemon will sync it next"),
    sa.Column("etag", sa.Text, comment="of the last cleanly applied body; NULL while anything is pending"),
    sa.Column("body_digest", sa.String(32), comment="of the last cleanly applied body; NULL while anything is pending"),
    sa.Column("stored_with", sa.String(32), comment="digest of what etag and body_digest hold for (URL, key, rules)"),
    sa.Column("stored_at", UtcDateTime, comment="when a whole body was last read; the shortcut holds for a while"),
    sa.Column("last_observed_at", UtcDateTime, comment="observed_at of the last run that read the catalog"),
    sa.Column("last_shown_at", UtcDateTime, comment="the same, less the Age of that response"),
    sa.Column("last_judged_at", UtcDateTime, comment="the last observation that could judge absence"),
    sa.Column("retired_at", UtcDateTime, comment="since when nobody is meant to sync it; the next sync clears it"),
    sa.Column("pruned_before", UtcDateTime, comment="runs that began earlier may have been pruned; NULL = none was"),
    sa.UniqueConstraint("name"),
    comment="provider endpoints that publish a catalog",
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("source_id", sa.ForeignKey("sources.id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, comment="sync, import, approve or revert"),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column(
        "observed_at",
        UtcDateTime,
        comment="when the response was complete, in a failed import too; NULL if no catalog was read",
    ),
    sa.Column("finished_at", UtcDateTime),
    sa.Column(
        "outcome",
        sa.String(16),
        nullable=False,
        comment="changed, unchanged, held, failed, skipped; running while open, abandoned if its syncer died",
    ),
    sa.Column("http_status", sa.Integer),
    sa.Column("listed", sa.Integer, comment="models the response listed; NULL if it was not read (304, same bytes)"),
    sa.Column("added", sa.Integer, nullable=False, server_default="0"),
    sa.Column("removed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("relisted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("repriced", sa.Integer, nullable=False, server_default="0"),
    sa.Column("updated", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reread", sa.Integer, nullable=False, server_default="0", comment="the same bytes, read another way"),
    sa.Column("rejected", sa.Integer, nullable=False, server_default="0", comment="elements that could not be read"),
    sa.Column("withheld", sa.Integer, nullable=False, server_default="0", comment="changes seen but not believed yet"),
    sa.Column("credential", sa.String(16), comment="fingerprint of the key: HMAC under the source's salt, never it"),
    sa.Column("body_digest", sa.String(32), comment="fingerprint of the response"),
    sa.Column("error", sa.Text, comment="why it failed, or what is held"),
    comment="one row for each attempt, whatever came of it",
)


def is_observed(run: sa.FromClause = runs) -> sa.ColumnElement[bool]:
    """Whether a run has a time of its own: a failed import has only that of the response which it failed on."""
    return run.c.observed_at.is_not(None) & (run.c.outcome != "failed")


models = sa.Table(
    "models",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("source_id", sa.ForeignKey("sources.id"), nullable=False),
    sa.Column("name", NAME, nullable=False, comment="as upstream sends it; bytewise unique in its source"),
    *_tracked(),
    sa.Column("price", Price, comment="of the headline; NULL = unknown, 0 = free, negative as sent"),
    sa.Column(
        "prices", JSONBinary, nullable=False, comment="component -> price, every one ever known; null = unknown now"
    ),
    sa.Column("extra", JSON, nullable=False, comment="upstream fields that are not tracked: kept, never a change"),
    sa.Column("digest", sa.LargeBinary(16), nullable=False, comment="of the element these values were read from"),
    sa.Column("parser", sa.String(64), nullable=False, comment="the reading that made these values of it"),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column(
        "last_seen_at",
        UtcDateTime,
        comment="last observation that showed it as believed; set while missing, unread or withheld, NULL = the last",
    ),
    sa.Column("last_changed_at", UtcDateTime, nullable=False, comment="effective_at of its latest change"),
    sa.Column("missing_since", UtcDateTime, comment="first observation that lacked it, while missing or removed"),
    sa.Column(
        "missing_count", sa.Integer, nullable=False, server_default="0", comment="judging observations without it"
    ),
    sa.Column("unread", JSON, comment="names of its fields that could not be read; NULL = none"),
    sa.Column("unread_since", UtcDateTime, comment="since when its prices could not be read"),
    sa.Column("expiring_told", sa.Integer, comment="days before expires_at that the last notice was for"),
    sa.Column("removed_at", UtcDateTime, comment="effective_at of its removal; NULL = listed"),
    sa.UniqueConstraint("source_id", "name"),
    comment="every model ever listed, in its last known state",
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True, autoincrement=False, comment="feed id: contiguous, in commit order"),
    sa.Column("source_id", sa.ForeignKey("sources.id"), nullable=False),
    sa.Column("run_id", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("model_id", sa.ForeignKey("models.id"), nullable=False),
    sa.Column(
        "kind", sa.String(16), nullable=False, comment="added, removed, relisted, repriced, updated; reread: no news"
    ),
    sa.Column("observed_at", UtcDateTime, nullable=False, comment="when the run that wrote it observed the source"),
    sa.Column("effective_at", UtcDateTime, nullable=False, comment="first observation that showed the new state"),
    sa.Column("changed_after", UtcDateTime, comment="last that still showed the old state; NULL = baseline"),
    sa.Column("old_price", Price, comment="of the headline before; NULL = unknown, or never listed before"),
    sa.Column("price", Price, comment="of the headline after (for removed: the last one)"),
    sa.Column("name", NAME, nullable=False, comment="this and what follows: the whole state after the change"),
    *_tracked(),
    sa.Column("prices", JSONBinary, nullable=False, comment="component -> price, every one ever known; null = unknown"),
    sa.Column("changed", JSON, nullable=False, comment="field -> [old, new]; {} for added and removed"),
    sa.Column("reverts_id", sa.ForeignKey("changes.id"), comment="the change that this one takes back"),
    sa.Column("raw", sa.Text, comment="the element as upstream sent it; NULL for removed"),
    sa.UniqueConstraint("run_id", "model_id"),
    sa.UniqueConstraint("model_id", "effective_at"),
    sa.CheckConstraint("id > 0", name="id"),
    sa.CheckConstraint(f"effective_at <= observed_at AND ({_WINDOW})", name="window"),
    sa.CheckConstraint(_ADDED, name="added"),
    sa.CheckConstraint(f"kind <> 'removed' OR raw IS NULL AND {_same('price', 'old_price')}", name="removed"),
    sa.CheckConstraint("reverts_id IS NULL OR reverts_id < id", name="reverts"),
    comment="the history: append-only, the database refuses UPDATE and DELETE",
)

prices = sa.Table(
    "prices",
    metadata,
    sa.Column("model_id", sa.ForeignKey("models.id"), primary_key=True),
    sa.Column("component", COMPONENT, primary_key=True, comment="input, output, ...; the seed's only one is price"),
    sa.Column("effective_at", UtcDateTime, primary_key=True, comment="first observation that showed the new price"),
    sa.Column("change_id", sa.ForeignKey("changes.id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, comment="added, removed, relisted, repriced; reread: no news"),
    sa.Column("changed_after", UtcDateTime, comment="last that still showed the old price; NULL = baseline"),
    sa.Column("old_price", Price, comment="NULL = unknown, or never known before"),
    sa.Column("price", Price, comment="NULL = unknown, 0 = free (for removed: the last one)"),
    sa.CheckConstraint("component <> ''", name="component"),
    sa.CheckConstraint(_WINDOW, name="window"),
    sa.CheckConstraint(_ADDED, name="added"),
    sa.CheckConstraint(_REMOVED, name="removed"),
    sa.CheckConstraint(f"kind <> 'repriced' OR NOT {_same('price', 'old_price')}", name="repriced"),
    comment="the moves of each price: append-only, the database refuses UPDATE and DELETE",
)

feed = sa.Table(
    "feed",
    metadata,
    sa.Column("feed_id", sa.String(32), primary_key=True, comment="random, made with the database"),
    sa.Column("last_id", sa.BigInteger, nullable=False, comment="the highest feed id given out"),
    comment="one row: the counter behind the feed ids of changes and notices",
)

rejected_rows = sa.Table(
    "rejected_rows",
    metadata,
    sa.Column("source_id", sa.ForeignKey("sources.id"), primary_key=True),
    sa.Column("digest", sa.LargeBinary(16), primary_key=True, comment="of the element's raw JSON"),
    sa.Column("name", NAME, comment="NULL where not even the name could be read"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.Text, nullable=False, comment="the beginning of the element as upstream sent it"),
    sa.Column("first_run_id", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("last_run_id", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("count", sa.Integer, nullable=False, comment="how often it was seen"),
    comment="elements of responses that could not be read, with the reason",
)

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("source_id", sa.ForeignKey("sources.id"), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False, comment="the rule that withholds"),
    sa.Column("opened_run_id", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("opened_at", UtcDateTime, nullable=False, comment="the first observation that showed what is withheld"),
    sa.Column(
        "evidence",
        JSON,
        nullable=False,
        comment='model -> {"since": time, "fields": withheld values, null = its absence}; the ceiling of an approval',
    ),
    sa.Column("last_run_id", sa.ForeignKey("runs.id"), nullable=False, comment="last run in which it still held"),
    sa.Column("state", sa.String(16), nullable=False, comment="open, approved, rejected, confirmed or withdrawn"),
    sa.Column("settled_run_id", sa.ForeignKey("runs.id"), comment="the run that settled it; NULL for a rejection"),
    sa.Column("comment", sa.Text, comment="of the person who settled it"),
    comment="what is doubtful and withheld until it is settled",
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True, autoincrement=False, comment="feed id, from the same counter as changes"),
    sa.Column("source_id", sa.ForeignKey("sources.id"), nullable=False),
    sa.Column("run_id", sa.ForeignKey("runs.id"), comment="the run that noticed; NULL where none did"),
    sa.Column("finding_id", sa.ForeignKey("findings.id"), comment="for held and settled"),
    sa.Column("model_id", sa.ForeignKey("models.id"), comment="for missing and returned"),
    sa.Column(
        "kind", sa.String(16), nullable=False, comment="failed, stale, recovered, held, settled, unreadable, ..."
    ),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.Column("data", JSON, nullable=False, comment="what there is to say"),
    sa.CheckConstraint("id > 0", name="id"),
    comment="a source's health in the feed",
)

consumers = sa.Table(
    "consumers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", NAME, nullable=False, comment="of its [[alerts]] table, or of `syncer changes --cursor`"),
    sa.Column("position", sa.BigInteger, nullable=False, comment="the last feed id that it is done with"),
    sa.Column("state", sa.String(16), nullable=False, comment="active, paused, disabled, or cursor"),
    sa.Column("reason", sa.Text, comment="why it is disabled"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("failing", JSON, nullable=False, comment="names of sources of whose trouble it was notified"),
    sa.Column("batch_id", sa.String(400), comment="of the message being handed over; frozen before its first attempt"),
    sa.Column("batch_end", sa.BigInteger, comment="its position once that has arrived"),
    sa.Column("batch_body", sa.Text, comment="the very bytes of the message"),
    sa.Column("batch_notified", JSON, comment="what is remembered of each model once it has arrived"),
    sa.Column("batch_since", UtcDateTime, comment="first attempt"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="failed attempts in a row"),
    sa.Column("next_attempt_at", UtcDateTime, comment="NULL = now"),
    sa.Column("last_delivered_at", UtcDateTime),
    sa.Column("last_error", sa.Text),
    sa.Column("lease_owner", sa.String(255)),
    sa.Column("lease_token", sa.BigInteger, nullable=False, server_default="0", comment="fencing token; only rises"),
    sa.Column("lease_until", UtcDateTime),
    sa.UniqueConstraint("name"),
    comment="named readers of the feed with a stored position",
)

notified = sa.Table(
    "notified",
    metadata,
    sa.Column("consumer_id", sa.ForeignKey("consumers.id"), primary_key=True),
    sa.Column("model_id", sa.ForeignKey("models.id"), primary_key=True),
    sa.Column("component", COMPONENT, primary_key=True),
    sa.Column("price", Price, comment="what its next move is measured from; NULL = unknown"),
    sa.Column("notified_at", UtcDateTime, comment="when it was last notified; NULL = never, price is the base"),
    comment="which price of each model each consumer was last notified of",
)
