"""service: what command line, daemon and Python share, where they differ from each other."""

from pathlib import Path
from threading import Event

import pytest

from syncer.alerts.sinks.file import File
from syncer.errors import DONE, FAILED, HELD, SettingsError, SeveralErrors, SourceBusy, SyncerError, UsageError, worst
from syncer.service import DeliveryOutcome, Syncer, SyncOutcome, raise_errors
from syncer.settings import AlertSettings, Settings
from tests.cli.home import FIRST_DAY, Home
from tests.upstream import Upstream, model


@pytest.mark.parametrize(
    ("error", "code"), [(None, DONE), (SettingsError("x"), 2), (SourceBusy("x"), 75), (TypeError("x"), FAILED)]
)
def test_an_outcome_has_an_exit_code(error: Exception | None, code: int) -> None:
    """It is that of the error; a bug counts as failed."""
    assert SyncOutcome("a", error=error).exit_code == code
    assert DeliveryOutcome("a", error=error).exit_code == code


def test_the_worst_of_several() -> None:
    """1 goes before 2 before 3 before 75 before 0, and several errors carry the worst of theirs."""
    assert [worst(codes) for codes in ({0, 75}, {75, HELD}, {HELD, 2}, {2, 1})] == [75, HELD, 2, 1]
    several = SeveralErrors([SourceBusy("busy"), SyncerError("broken")])
    assert (several.exit_code, str(several)) == (1, "busy; broken")


def test_a_bug_goes_before_what_a_person_can_mend() -> None:
    """One error is raised as it is, several as one; a bug is never hidden among them."""
    raise_errors([SyncOutcome("a")])
    with pytest.raises(UsageError):
        raise_errors([SyncOutcome("a", error=UsageError("x"))])
    with pytest.raises(TypeError):
        raise_errors([SyncOutcome("a", error=UsageError("x")), SyncOutcome("b", error=TypeError("y"))])


def test_a_daemon_delivers_by_the_settings_in_force(tmp_path: Path, upstream: Upstream) -> None:
    """A consumer is reached as the settings say that were read last, on the same database."""
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'syncer.db'}", upstream)
    home.day(model("acme/a", 1))
    alert = AlertSettings(name="log", to=File(file=str(tmp_path / "told.jsonl")), start="beginning")
    with Syncer(Settings(database_url=home.url), environ={}, clock=lambda: FIRST_DAY) as service:
        outcome = service.deliver_to(alert, Event())
    assert (outcome.problem, outcome.done and outcome.done.events) == (None, 1)


def test_a_stopped_delivery_ends(tmp_path: Path, upstream: Upstream) -> None:
    """Once it is told to stop, no further message is begun."""
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'syncer.db'}", upstream)
    home.day(model("acme/a", 1))
    alert = AlertSettings(name="log", to=File(file=str(tmp_path / "told.jsonl")), start="beginning")
    stop = Event()
    stop.set()
    with Syncer(Settings(database_url=home.url, alerts=(alert,)), environ={}, clock=lambda: FIRST_DAY) as service:
        outcome = service.deliver_to(alert, stop)
    assert not (tmp_path / "told.jsonl").exists()
    assert outcome.problem is None
