"""Delivery: at least once, in order, nothing lost, each consumer on its own; and what one message is."""

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from syncer.alerts import consumers
from syncer.alerts.delivery import GIVE_UP_AFTER, MOST_BYTES, RETRIES, Delivered, digest_due_at, next_attempt
from syncer.alerts.message import DeliveryError
from syncer.alerts.sinks import webhook
from syncer.db.engine import reading, writing
from syncer.db.tables import changes, feed, notified
from syncer.errors import Fenced, UsageError
from syncer.settings import Secret
from tests.alerts.feeding import (
    REFUSED,
    Target,
    bodies_by_id,
    consumer,
    event_ids,
    lease,
    round_at,
    subscription,
    walk,
)
from tests.alerts.receiver import Endless, Receiver
from tests.story import Story, instant
from tests.upstream import Reply, Upstream, model

SIGNING = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
def story(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A shop without trust rules, which has listed A and B at 1 and whose consumer `team` has seen the end."""
    with Story(database_url, upstream, trust=False) as told_day_by_day:
        told_day_by_day.on("01-01", A="1", B="1")
        round_at(told_day_by_day, "01-01", subscription(Target()))
        yield told_day_by_day


@pytest.fixture
def shop(sqlite_url: str, upstream: Upstream) -> Iterator[Story]:
    """The same on SQLite, where the kind of database is of no account."""
    with Story(sqlite_url, upstream, trust=False) as told_day_by_day:
        told_day_by_day.on("01-01", A="1", B="1")
        round_at(told_day_by_day, "01-01", subscription(Target()))
        yield told_day_by_day


def to(receiver: Receiver, clock: Any = None, **wanted: Any) -> Any:
    """A subscription of the webhook at `receiver`."""
    sink = webhook.make(
        Secret(receiver.url),
        [SIGNING],
        clock=clock or (lambda: datetime.now(UTC)),
        mode="batch",
        deadline=timedelta(seconds=wanted.pop("deadline", 15)),
    )
    return subscription(sink, **wanted)


# -- what is told, and where it begins ---------------------------------------------------------------------------------


def test_what_happens_is_told_in_order_and_once(story: Story) -> None:
    """Each change behind the consumer's position arrives once, in feed order, a message a run."""
    target = Target()
    story.on("01-02", A="2", B="1").on("01-03", A="3", B="4")
    done = round_at(story, "01-03", subscription(target))
    assert (done.messages, done.events) == (2, 3)
    assert target.by_message == [["repriced A 1 -> 2"], ["repriced A 2 -> 3", "repriced B 1 -> 4"]]
    assert round_at(story, "01-04", subscription(target)).messages == 0
    assert len(target.messages) == 2
    assert consumer(story).last_delivered_at == instant("01-03")


def test_a_new_consumer_starts_at_the_end(story: Story) -> None:
    """A consumer that is first seen today is told nothing of yesterday, unless it starts at the beginning."""
    late, early = Target(), Target()
    story.on("01-02", A="2", B="1")
    round_at(story, "01-02", subscription(late, name="late"))
    round_at(story, "01-02", subscription(early, name="early", start="beginning"))
    assert late.told == []
    assert early.by_message == [["added A", "added B"], ["repriced A 1 -> 2"]]


def test_the_first_observation_at_a_source_is_no_news(shop: Story) -> None:
    """A source that is added later is told of from its second observation on."""
    target = Target()
    shop.set(name="new").on("01-02", C="1").on("01-03", C="2")
    round_at(shop, "01-03", subscription(target))
    assert target.told == ["repriced C 1 -> 2"]


def test_small_steps_are_told_when_they_add_up(story: Story) -> None:
    """Steps of 1 % are told once they are 5 % from what was told; the memory moves with the position."""
    target = Target()
    wanted = subscription(target, min_percent=Decimal(5))
    for day, price in enumerate(["1.01", "1.02", "1.03", "1.04", "1.05", "1.06", "1.10", "1.11"], start=2):
        story.on(f"01-{day:02}", A=price, B="1")
        round_at(story, f"01-{day:02}", wanted)
    assert target.told == ["repriced A 1.04 -> 1.05", "repriced A 1.1 -> 1.11"]
    with reading(story.engine) as connection:
        prices = connection.execute(sa.select(notified.c.price).order_by(notified.c.model_id)).scalars().all()
    assert prices == [Decimal("1.11"), Decimal(1)][: len(prices)]


def test_a_quiet_model_is_left_alone(shop: Story) -> None:
    """Within the quiet time nothing more is told of a model; the first move after it counts from what was told."""
    target = Target()
    wanted = subscription(target, quiet=timedelta(hours=2))
    for at, price in (("01-02 00:00", "2"), ("01-02 01:00", "3"), ("01-02 03:00", "4")):
        shop.on(at, A=price, B="1")
        round_at(shop, at, wanted)
    assert target.told == ["repriced A 1 -> 2", "repriced A 3 -> 4"]


def test_a_digest_is_one_message_on_its_day(shop: Story) -> None:
    """A digest collects what all runs brought, and is told once a day, after midnight UTC, all of it."""
    target = Target()
    wanted = subscription(target, digest=timedelta(days=1))
    shop.on("01-02 01:00", A="2", B="1")
    round_at(shop, "01-02 01:00", wanted)
    shop.on("01-02 09:00", A="3", B="1")
    assert "collects until 2026-01-03 00:00Z" in str(round_at(shop, "01-02 09:00", wanted).idle)
    shop.on("01-02 20:00", A="3", B="5")
    round_at(shop, "01-03 00:05", wanted)
    assert target.by_message == [["repriced A 1 -> 2"], ["repriced A 2 -> 3", "repriced B 1 -> 5"]]


def test_a_digest_that_is_too_large_for_one_message_is_told_at_once(shop: Story) -> None:
    """What does not fit into the first message of a digest follows in the next, not on the next day."""
    target = Target()
    many = [model(f"m{number:03}") for number in range(150)]
    shop.on("01-02", *many)
    round_at(shop, "01-03 00:05", subscription(target, digest=timedelta(days=1)))
    assert [len(message.events) for message in target.messages] == [100, 52]


@pytest.mark.parametrize(
    ("last", "every", "due"),
    [
        ("01-01 08:00", timedelta(days=1), "01-02"),
        ("01-01", timedelta(days=1), "01-02"),
        ("01-01 08:00", timedelta(hours=6), "01-01 12:00"),
        ("01-01", timedelta(weeks=1), "01-05"),  # a Monday
    ],
)
def test_a_digest_does_not_drift(last: str, every: timedelta, due: str) -> None:
    """A digest is due at a whole multiple of its time, whenever the last one really went out."""
    assert digest_due_at(instant(last), every) == instant(due)


def test_net_tells_nothing_of_what_came_and_went(story: Story) -> None:
    """With `net`, what was undone before it was told is nothing, even with other news between."""
    target, plain = Target(), Target()
    round_at(story, "01-01", subscription(plain, name="plain"))
    story.on("01-02", A="2", B="1", C="1").on("01-03", A="1", B="3").on("01-04", A="1", B="4")
    round_at(story, "01-04", subscription(target, net=True))
    round_at(story, "01-04", subscription(plain, name="plain"))
    assert target.by_message == [["repriced B 1 -> 3", "repriced B 3 -> 4"]]
    assert {"added C", "removed C", "repriced A 1 -> 2", "repriced A 2 -> 1"} < set(plain.told)


def test_net_never_tells_half_a_story(shop: Story) -> None:
    """Where `net` cannot take all in one message, what came and went across the cut is told as both."""
    target = Target()
    others = [model(f"m{number:03}") for number in range(120)]
    shop.on("01-02", model("A", 1), model("B", 1), model("a-first", 1), *others)
    shop.on("01-03", model("A", 1), model("B", 1), *others)
    round_at(shop, "01-03", subscription(target, net=True))
    assert [len(message.events) for message in target.messages] == [100, 22]
    assert ("added a-first" in target.told) == ("removed a-first" in target.told)
    assert len([line for line in target.told if line.startswith("added m")]) == 120


# -- one message -------------------------------------------------------------------------------------------------------


def test_a_message_holds_at_most_a_hundred_events(shop: Story) -> None:
    """A run that brought more is told in several messages, in order."""
    target = Target()
    shop.on("01-02", *[model(f"m{number:03}") for number in range(250)], A="1", B="1")
    round_at(shop, "01-02", subscription(target))
    assert [len(message.events) for message in target.messages] == [100, 100, 50]
    ids = event_ids(message.body for message in target.messages)
    assert ids == sorted(set(ids))


def test_a_message_holds_at_most_256_kib(shop: Story) -> None:
    """Large events share a message as far as they fit; one that is larger alone goes alone."""
    target = Target()
    large = [model(f"m{number}", description="é" * 24_000) for number in range(12)]
    shop.on("01-02", *large, A="1", B="1")
    small = [model(f"m{number}", description="x" * 45_000) for number in range(12)]
    shop.on("01-03", *small, A="1", B="1")
    round_at(shop, "01-03", subscription(target))
    assert sum(len(message.events) for message in target.messages) == 24
    for message in target.messages:
        assert len(message.body) <= MOST_BYTES
    several = [message for message in target.messages if len(message.events) > 1]
    assert several


def test_an_event_beyond_the_limit_goes_alone(shop: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is larger than a message may be is told all the same."""
    target = Target()
    monkeypatch.setattr("syncer.alerts.delivery.MOST_BYTES", 3_000)
    rows = [model("m1"), model("m2", description="x" * 5_000), model("m3")]
    shop.on("01-02", *rows, A="1", B="1")
    round_at(shop, "01-02", subscription(target))
    assert [len(message.events) for message in target.messages] == [1, 1, 1]


def test_a_repeat_is_the_same_message(story: Story) -> None:
    """A frozen message keeps its id and bytes when rules, currency and history change meanwhile (law 10)."""
    target = Target(REFUSED)
    story.on("01-02", A="2", B="2")
    assert round_at(story, "01-02", subscription(target)).error
    story.set(currency="USD").on("01-03", A="3", B="2")
    round_at(story, "01-03", subscription(target, models=("B",), min_percent=Decimal(50), net=True))
    assert target.by_message == [["repriced A 1 -> 2", "repriced B 1 -> 2"]] * 2
    bodies_by_id((message.id, message.body) for message in target.messages)
    assert len({message.id for message in target.messages}) == 1


def test_a_replay_under_other_rules_is_another_message(story: Story) -> None:
    """The events of a replay keep their ids; a message of other bytes gets another id than the first one."""
    target = Target()
    story.on("01-02", A="2", B="2", C="1").on("01-03", A="3", B="2", C="1")
    round_at(story, "01-03", subscription(target))
    with writing(story.engine) as connection:
        consumers.reposition(connection, "team", consumers.position_before(connection, instant("01-02")))
    round_at(story, "01-03", subscription(target, kinds=frozenset({"repriced"})))
    assert target.told[-3:] == ["repriced A 1 -> 2", "repriced B 1 -> 2", "repriced A 2 -> 3"]
    first, second, third, fourth = target.messages
    assert (first.id == third.id, second.id == fourth.id) == (False, True)
    bodies_by_id((message.id, message.body) for message in target.messages)
    assert set(event_ids([third.body, fourth.body])) < set(event_ids([first.body, second.body]))


def test_messages_are_signed_so_that_the_library_verifies_them(shop: Story, receiver: Receiver) -> None:
    """The standardwebhooks library accepts each message, also a repeat, whose webhook-id is the same."""
    receiver.reply(Reply(status=500), Reply(status=204))
    shop.on("01-02", A="2", B="1")
    round_at(shop, "01-02", to(receiver))
    round_at(shop, "01-03", to(receiver))
    assert [[event["subject"] for event in body] for body in receiver.verified(SIGNING.reveal())] == [["A"], ["A"]]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


# -- when it does not arrive -------------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_for_a_week(shop: Story, receiver: Receiver) -> None:
    """Attempts at 5 s, 5 min, 30 min, 2, 5, 10 h and each 12 h, the last after 5 days; then disabled, nothing lost.

    Resumed after a week, it gets everything once, in order.
    """
    receiver.reply(Reply(status=503))
    shop.on("01-02", A="2", B="1")
    tried = walk(shop, instant("01-02"), to(receiver), until=instant("01-09"))
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert tuple(waits[: len(RETRIES)]) == RETRIES
    assert set(waits[len(RETRIES) : -1]) == {timedelta(hours=12)}
    assert tried[-1] - tried[0] == GIVE_UP_AFTER
    found = consumer(shop)
    assert found.state == "disabled"
    assert "nothing got through for 5 days" in str(found.reason)
    assert "503" in str(found.reason)
    assert lease(shop) is None
    for day in range(3, 9):
        shop.on(f"01-{day:02}", A=str(day), B="1")
    idle = round_at(shop, "01-08", to(receiver))
    assert (idle.disabled, idle.messages) == (True, 0)
    assert "nothing got through" in str(idle.idle)

    sent = len(receiver.requests)
    receiver.reply(Reply(status=204))
    with writing(shop.engine) as connection:
        consumers.resume(connection, "team", now=instant("01-09"))
    round_at(shop, "01-09", to(receiver))
    arrived = receiver.requests[sent:]
    assert event_ids(request.body for request in arrived) == list(range(3, 10))
    bodies_by_id((request.headers["webhook-id"], request.body) for request in receiver.requests)


def test_resume_gives_five_new_days(shop: Story) -> None:
    """A consumer that was disabled and resumed is not disabled again at its first failure."""
    target = Target(*[REFUSED] * 100)
    shop.on("01-02", A="2", B="1")
    walk(shop, instant("01-02"), subscription(target), until=instant("01-12"))
    with writing(shop.engine) as connection:
        consumers.resume(connection, "team", now=instant("01-12"))
    assert not round_at(shop, "01-12", subscription(target)).disabled
    assert consumer(shop).next_attempt_at == instant("01-12") + RETRIES[0]


def test_jitter_only_ever_waits_longer() -> None:
    """The wait is spread by up to a tenth."""
    assert next_attempt(0, 0.0) == timedelta(seconds=5)
    assert timedelta(hours=13) < next_attempt(99, 0.999) <= timedelta(hours=13.2)


def test_gone_disables_at_once(shop: Story, receiver: Receiver) -> None:
    """410 disables the consumer with the reason, keeping its position."""
    receiver.reply(Reply(status=410))
    shop.on("01-02", A="2", B="1")
    before = consumer(shop).position
    assert round_at(shop, "01-02", to(receiver)).disabled
    found = consumer(shop)
    assert (found.state, found.position, found.next_attempt_at) == ("disabled", before, None)
    assert "410" in str(found.reason)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(shop: Story, receiver: Receiver, status: int) -> None:
    """The other side's own word on when to come back replaces the schedule, up to the end of our patience."""
    receiver.reply(Reply(status=status, headers={"Retry-After": "7200"}))
    shop.on("01-02", A="2", B="1")
    round_at(shop, "01-02", to(receiver))
    assert consumer(shop).next_attempt_at == instant("01-02 02:00")
    assert "the next attempt is at 2026-01-02 02:00:00Z" in str(round_at(shop, "01-02 01:00", to(receiver)).idle)
    receiver.reply(Reply(status=status, headers={"Retry-After": "999999999"}))
    round_at(shop, "01-02 02:00", to(receiver))
    assert consumer(shop).next_attempt_at == instant("01-02") + GIVE_UP_AFTER


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang=True),
        Reply(status=200, drip=0.2, drip_in="head"),
        Endless(status=500),
        Reply(status=302, headers={"Location": "http://127.0.0.1:1/private"}),
        Reply(status=500, body=b"\x1b[2J\x00garbage" * 100),
    ],
    ids=["hangs", "drips", "endless", "redirects", "garbage"],
)
def test_a_bad_receiver_costs_one_deadline_and_nothing_else(shop: Story, receiver: Receiver, reply: Reply) -> None:
    """Slow, endless, redirecting or garbage: one failed attempt, within the deadline, and the lease is given back."""
    receiver.reply(reply)
    shop.on("01-02", A="2", B="1")
    began = datetime.now(UTC)
    done = round_at(shop, "01-02", to(receiver, deadline=1))
    assert datetime.now(UTC) - began < timedelta(seconds=8)
    assert done.error is not None
    assert done.error.isprintable()
    assert (len(receiver.requests), lease(shop), consumer(shop).attempts) == (1, None, 1)
    assert "t0ken" not in str(consumer(shop).last_error) + done.error


def test_a_dead_consumer_delays_no_other(story: Story) -> None:
    """While one consumer is stuck in its hand-over, another on the same database gets everything."""
    stuck, entered = Event(), Event()
    slow, quick = Target(), Target()

    def hang() -> None:
        entered.set()
        stuck.wait(30)

    slow.on_message = hang
    round_at(story, "01-01", subscription(quick, name="quick"))
    story.on("01-02", A="2", B="1")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(round_at, story, "01-02", subscription(slow))
        assert entered.wait(30)
        story.on("01-03", A="3", B="1")
        assert round_at(story, "01-03", subscription(quick, name="quick")).events == 2
        stuck.set()
        assert waiting.result(30).events == 2


# -- leases ------------------------------------------------------------------------------------------------------------


def test_a_bug_in_a_sink_keeps_its_traceback_and_no_lease(story: Story) -> None:
    """An error that is no refusal goes up as it is; the consumer is free at once, its message kept."""
    target = Target(ZeroDivisionError("a bug"))
    story.on("01-02", A="2", B="1")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        round_at(story, "01-02", subscription(target))
    assert lease(story) is None
    round_at(story, "01-02", subscription(target))
    assert len({message.id for message in target.messages}) == 1
    assert len(target.messages) == 2


def test_a_consumer_in_other_hands_is_left_alone(story: Story) -> None:
    """While one syncer delivers, another one says so and hands over nothing."""
    target, seen = Target(), []
    target.on_message = lambda: seen.append(round_at(story, "01-02", subscription(target), owner="other"))
    story.on("01-02", A="2", B="1")
    round_at(story, "01-02", subscription(target))
    assert [one.idle for one in seen] == ["another syncer is delivering to it"]
    assert target.told == ["repriced A 1 -> 2"]


def test_one_whose_lease_ran_out_is_fenced_off(story: Story) -> None:
    """A suspended syncer that wakes up after another took over records nothing; the repeat had the same id."""
    target = Target()

    def meanwhile() -> None:
        target.on_message = lambda: None
        round_at(story, "01-02 00:03", subscription(target), owner="other")

    target.on_message = meanwhile
    story.on("01-02", A="2", B="1")
    with pytest.raises(Fenced, match="took over the consumer team"):
        round_at(story, "01-02", subscription(target))
    assert [message.id for message in target.messages] == [target.messages[0].id] * 2
    story.on("01-03", A="3", B="1")
    round_at(story, "01-03", subscription(target))
    assert target.told[2:] == ["repriced A 2 -> 3"]


@pytest.mark.parametrize("moved_to", ["start", "end"])
def test_a_person_who_moves_it_fences_off_who_delivers(story: Story, moved_to: str) -> None:
    """Replay and skip win over a delivery at work: its outcome does not move the position back."""
    target = Target()
    story.on("01-02", A="2", B="1").on("01-03", A="3", B="1")
    position = 0 if moved_to == "start" else 4

    def move() -> None:
        with writing(story.engine) as connection:
            consumers.reposition(connection, "team", position)

    target.on_message = move
    with pytest.raises(Fenced):
        round_at(story, "01-03", subscription(target))
    assert (consumer(story).position, consumer(story).batch) == (position, None)


def test_a_pause_holds_from_the_next_message_on(story: Story) -> None:
    """The message at hand is finished, its arrival recorded; the next one waits for resume."""
    target = Target()

    def pause() -> None:
        with writing(story.engine) as connection:
            consumers.pause(connection, "team", now=instant("01-03"))

    target.on_message = pause
    story.on("01-02", A="2", B="1").on("01-03", A="3", B="1")
    round_at(story, "01-03", subscription(target))
    assert target.told == ["repriced A 1 -> 2"]
    assert "paused: by a person" in str(round_at(story, "01-03", subscription(target)).idle)
    with writing(story.engine) as connection:
        consumers.resume(connection, "team", now=instant("01-04"))
    target.on_message = lambda: None
    round_at(story, "01-04", subscription(target))
    assert target.told == ["repriced A 1 -> 2", "repriced A 2 -> 3"]


def test_a_round_without_news_writes_nothing(story: Story) -> None:
    """A round that finds nothing to do takes no lock and leaves no trace: a daemon may ask each second."""
    wanted = subscription(Target(REFUSED))
    before = story.everything()
    assert round_at(story, "01-02", wanted) == Delivered("team")
    assert story.everything() == before
    story.on("01-02", A="2", B="1")
    assert round_at(story, "01-02", wanted).error
    before = story.everything()
    assert round_at(story, "01-02 00:00:01", wanted).idle
    assert story.everything() == before


def test_it_stops_between_two_messages_when_told_to(shop: Story) -> None:
    """A process that shall end finishes the message at hand, and the rest waits."""
    from syncer.alerts.delivery import deliver

    target = Target()
    shop.on("01-02", A="2", B="1").on("01-03", A="3", B="1")
    done = deliver(
        shop.engine,
        subscription(target),
        clock=lambda: instant("01-03"),
        owner="test",
        keep_going=lambda: not target.messages,
    )
    assert (done.messages, lease(shop)) == (1, None)


def test_two_syncers_that_meet_a_new_consumer_make_one(story: Story) -> None:
    """First rounds at the same moment make one row and no error."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda owner: round_at(story, "01-02", subscription(Target(), name="new"), str(owner)), range(8)))
    assert consumer(story, "new").position == 2


# -- what must not be --------------------------------------------------------------------------------------------------


def test_a_position_beyond_the_feed_is_an_error(story: Story) -> None:
    """A consumer that is ahead of its database is told so, by name, and nobody holds it afterwards."""
    with writing(story.engine) as connection:
        consumers.reposition(connection, "team", 99)
    with pytest.raises(UsageError, match="team is at feed id 99, but the feed ends at 2"):
        round_at(story, "01-02", subscription(Target()))
    assert lease(story) is None


def test_a_cursor_is_no_consumer(story: Story) -> None:
    """An [[alerts]] table named like somebody's cursor is refused, instead of never being told anything."""
    with writing(story.engine) as connection:
        consumers.move_cursor(connection, "mine", 0, 2, now=instant("01-02"))
        with pytest.raises(UsageError, match="nothing is handed to it"):
            consumers.pause(connection, "mine", now=instant("01-02"))
    with pytest.raises(UsageError, match="give the \\[\\[alerts\\]\\] another name"):
        round_at(story, "01-02", subscription(Target(), name="mine"))


def test_catching_up_takes_no_memory_to_speak_of(shop: Story) -> None:
    """Ten thousand changes behind, delivery holds a few hundred at a time, told or passed over."""
    _reprice(shop, 10_000)
    counted = {"events": 0}

    def count(message: Any) -> None:
        counted["events"] += len(message.events)

    tracemalloc.start()
    try:
        round_at(shop, "02-01", subscription(count, models=("B",)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counted["events"] == 0
    assert peak < 12 * 1024 * 1024
    assert consumer(shop).position == 10_002


def _reprice(story: Story, count: int) -> None:
    """So many more changes of A, written in plain SQL."""
    with writing(story.engine) as connection:
        first = dict(connection.execute(sa.select(changes).where(changes.c.id == 1)).mappings().one())
        run = sa.text(
            "INSERT INTO runs (id, source_id, kind, started_at, outcome, added, removed, relisted, repriced, "
            "updated, rejected, withheld) VALUES (:id, 1, 'sync', :at, 'changed', 0, 0, 0, 1, 0, 0, 0)"
        )
        at = first["observed_at"]
        given = at if story.engine.dialect.name == "postgresql" else "2026-01-01 00:00:00.000000"
        connection.execute(run, [{"id": number, "at": given} for number in range(1000, 1000 + count)])
        moved = {"kind": "repriced", "changed": {"prices.price": [1, 2]}, "old_price": Decimal(1)}
        rows = []
        for number in range(count):
            now = at + timedelta(seconds=number + 1)
            times = {"observed_at": now, "effective_at": now, "changed_after": at}
            rows.append(first | moved | times | {"id": 3 + number, "run_id": 1000 + number})
        connection.execute(changes.insert(), rows)
        connection.execute(sa.update(feed).values(last_id=2 + count))


def test_a_refusal_says_what_and_keeps_it(shop: Story) -> None:
    """The last error stands in the consumer's row until something arrives."""
    target = Target(DeliveryError("not today"))
    shop.on("01-02", A="2", B="1")
    assert round_at(shop, "01-02", subscription(target)).error == "not today"
    assert consumer(shop).last_error == "not today"
    round_at(shop, "01-03", subscription(target))
    assert (consumer(shop).last_error, consumer(shop).attempts) == (None, 0)
    assert json.loads(target.messages[0].body) == json.loads(target.messages[1].body)
