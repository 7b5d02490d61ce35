"""What `syncer.open` gives: each thing that can be done, as a person asks for it.

It is the one place that says what each takes, returns and raises; how it is done stands in the modules beside.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from syncer.db.engine import reading
from syncer.service import polling
from syncer.service.context import Context
from syncer.service.outcomes import DeliveryOutcome, Imported, SyncOutcome, Tried, checked
from syncer.settings import AlertSettings

if TYPE_CHECKING:
    from syncer.alerts.consumers import Consumer
    from syncer.core.formats import CompiledFormat
    from syncer.core.model import Listing
    from syncer.revert import Reverted


class Syncer(Context):
    """One configuration with its database, and all that can be done with them; `syncer.open(...)` makes one.

    To be closed, or used in a `with` block. It may be shared by threads once it has been used; time is UTC.
    """

    def connect(self) -> AbstractContextManager[Connection]:
        """A read-only connection for the questions of `syncer.history`, all at one moment; creates nothing.

        with syncer.open() as s, s.connect() as connection:
            history.price_at(connection, "deepseek-ai/DeepSeek-R1", at=noon)
        """
        return reading(self.existing_database(read_only=True), one_moment=True)

    # -- sources -------------------------------------------------------------------------------------------------------

    def sync(
        self,
        *names: str,
        check: bool = True,
        save_bodies: Path | None = None,
        limit: int | None = None,
        advance: Callable[[], object] = lambda: None,
    ) -> list[SyncOutcome]:
        """One run of each source called `names`, of all if there are none; the outcomes, in that order.

        When all have had their turn, what went wrong is raised: one error as it is, several as SeveralErrors; with
        `check=False` it is only in the outcomes (a bug is raised all the same). `limit` bounds the events of each
        outcome; `save_bodies` is the directory in which responses are kept, if it is not that of the settings;
        `advance` is called as each source is done.
        """
        chosen = self.settings.select(names)
        return checked(polling.sync_all(self, chosen, self.archive(save_bodies), limit, advance), check=check)

    def preview(
        self, *names: str, check: bool = True, advance: Callable[[], object] = lambda: None
    ) -> list[SyncOutcome]:
        """What `sync` would do now, fetched and decided in the same way, and not one byte written."""
        return checked(polling.preview_all(self, self.settings.select(names), advance), check=check)

    def approve(
        self,
        source: str,
        *,
        findings: Collection[int] | None = None,
        models: Collection[str] = (),
        comment: str | None = None,
        check: bool = True,
    ) -> SyncOutcome:
        """Say yes, once, to what is held of `source`: it is fetched again, and at most what is held is applied.

        `findings` are ids (rejected ones too), `models` globs: only those. Raises UsageError if nothing of that is
        held, and what `sync` raises.
        """
        from syncer.core.decide import Approval

        (chosen,) = self.settings.select([source])
        only = None if findings is None else frozenset(findings)
        approval = Approval(findings=only, models=tuple(models), comment=comment)
        return checked([polling.approve(self, chosen, approval)], check=check)[0]

    def reject(
        self,
        source: str,
        *,
        findings: Collection[int] | None = None,
        models: Collection[str] = (),
        comment: str | None = None,
    ) -> int:
        """Say no to what is held of `source`, and how many findings that were: the known state stays.

        Nobody is asked again while upstream says the same. Raises UsageError if nothing of that is held.
        """
        from syncer.rejection import reject_findings

        engine = self.existing_database()
        polling.require_held(engine, source, findings, models)
        return reject_findings(engine, source, findings, models, comment, now=self.clock())

    def take_back(self, source: str, finding: int) -> None:
        """Take a rejection back: what upstream still says of it is asked again. Raises UsageError if it is none."""
        from syncer.rejection import take_back

        take_back(self.existing_database(), source, finding)

    def revert(self, run: int) -> "Reverted":
        """Take back what a run believed, by appending compensating changes; nothing is deleted.

        Raises UsageError if there is no such run, or if nothing of it can be taken back.
        """
        from syncer.revert import revert_run

        return revert_run(self.existing_database(), run, clock=self.clock, owner=self.owner)

    def import_history(
        self,
        path: Path | str,
        source: str = "default",
        *,
        trust: bool | None = None,
        format: str | None = None,  # noqa: A002 - the name of the setting
        on_line: Callable[[Imported], object] = lambda _: None,
    ) -> list[Imported]:
        """Import recorded responses, each with its own time, as if syncer had polled then; what came of each line.

        `path` is JSON lines as `save_bodies` keeps them; interrupted, it may be repeated. `source` needs no settings;
        `trust` and `format` overrule them; `on_line` is called as each line is done. Raises UsageError for a line that
        is none, or that is not later than what the source has seen: what came before it stays.
        """
        from syncer.service.recordings import Target, import_recording

        return import_recording(self, Path(path), Target(source, trust, format), on_line)

    def import_git(
        self,
        repository: Path | str,
        path: str,
        source: str = "default",
        *,
        trust: bool | None = None,
        format: str | None = None,  # noqa: A002 - the name of the setting
        on_line: Callable[[Imported], object] = lambda _: None,
    ) -> list[Imported]:
        """Import the history of a file in a git repository: each commit that changed it, at its committer time.

        `path` is from the repository's top; all else as in `import_history`.
        """
        from syncer.service.recordings import Target, import_versions

        return import_versions(self, Path(repository), path, Target(source, trust, format), on_line)

    # -- formats -------------------------------------------------------------------------------------------------------

    def formats(self) -> "list[CompiledFormat]":
        """The formats that a source may name: those of the configuration, then the built-in ones."""
        from syncer.service.trying import all_formats

        return all_formats(self)

    def try_format(self, url: str | None, name: str | None = None) -> Tried:
        """Fetch the catalog at `url` (or at the format's own) once, and read it by the format; no database is opened.

        Raises SettingsError where there is no URL, and UpstreamError where the response is no catalog.
        """
        from syncer.service.trying import try_format

        return try_format(self, url, name)

    def reader_of_elements(self) -> "Callable[[str, str], Listing]":
        """What reads a stored element by the format of a name, as it is today; it raises ValueError where it cannot."""
        from syncer.service.trying import reader_of_elements

        return reader_of_elements(self)

    # -- consumers -----------------------------------------------------------------------------------------------------

    def deliver(self, *, check: bool = True) -> list[DeliveryOutcome]:
        """Hand each consumer what it has not been told; the outcomes, in the order of the settings.

        One that is down is tried again later and delays no other. What went wrong is raised as by `sync`; a message
        that did not arrive is no error of ours: it is in the outcome, and will be tried again.
        """
        from syncer.service.deliveries import deliver_all

        return checked(deliver_all(self), check=check)

    def deliver_to(self, alert: AlertSettings, stop: Event) -> DeliveryOutcome:
        """Hand one consumer what it has not been told, until `stop` is set; what came of it, errors too."""
        from syncer.service.deliveries import deliver_to

        return deliver_to(self, alert, stop)

    def send_sample(self, consumer: str) -> str:
        """Send a consumer a sample, clearly marked as one, and what it means that its sink took it.

        Raises DeliveryError where it does not take it.
        """
        from syncer.service.deliveries import send_sample

        return send_sample(self, consumer)

    def replay(self, consumer: str, *, since: datetime) -> "Consumer":
        """Put a consumer back, so that it is told again what was observed since then, with the same event ids."""
        from syncer.service.deliveries import replay

        return replay(self, consumer, since=since)

    def skip(self, consumer: str) -> "Consumer":
        """Put a consumer to the end of the feed: what it has not been told, it never will be."""
        from syncer.service.deliveries import skip

        return skip(self, consumer)

    def pause(self, consumer: str) -> "Consumer":
        """Tell a consumer nothing until it is resumed; it keeps its position."""
        from syncer.service.deliveries import pause

        return pause(self, consumer)

    def resume(self, consumer: str) -> "Consumer":
        """Go on, at once, with a consumer that was paused or disabled, from its position."""
        from syncer.service.deliveries import resume

        return resume(self, consumer)
