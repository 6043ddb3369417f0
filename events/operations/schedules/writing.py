"""Writing a plan: as many statements for a thousand sessions as for ten, but for the batches."""

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone
from django.utils.text import slugify
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from events.models import Event, Room, Session, Speaker

from .plan import IMPORTED, TEXTS, Plan, free

BATCH = 500
"""Rows that one statement writes."""


def write(plan: Plan, actor, progress) -> None:
    """``progress`` is called with the number of rows just dealt with."""
    _save_event(plan, actor)
    _write_rooms(plan)
    progress(len(plan.schedule.rooms))
    Speaker.objects.bulk_create(plan.new_speakers, batch_size=BATCH)
    _update(plan.changed_speakers, Speaker, ["name", "biography", "photo_url", "external_id"])
    progress(len(plan.schedule.speakers))
    _write_sessions(plan, actor, progress)
    through = Session.speakers.through
    through.objects.filter(pk__in=plan.lost_links).delete()
    links = [through(session_id=session.pk, speaker_id=speaker.pk) for session, speaker in plan.new_links]
    through.objects.bulk_create(links, batch_size=BATCH * 10)
    _delete_sessions(plan.gone_sessions, actor)
    Room.objects.filter(pk__in=[one.pk for one in plan.gone_rooms]).delete()
    Speaker.objects.filter(pk__in=[one.pk for one in plan.gone_speakers]).delete()


def _save_event(plan, actor):
    event = plan.event
    event._change_reason, event._history_user = IMPORTED, actor
    if plan.created:
        event.slug = _free_slug(plan.schedule)
        event.save()
        plan.report.event_id = event.pk
    elif plan.event_fields:
        event.save(update_fields=[*plan.event_fields, "external_id"])
    else:
        Event.objects.filter(pk=event.pk, external_id="").update(external_id=event.external_id)


def _free_slug(schedule) -> str:
    slug = (slugify(schedule.slug) or slugify(schedule.title))[:70].strip("-") or "event"
    taken = set(Event.objects.filter(slug__startswith=slug).values_list("slug", flat=True))
    return free(slug, taken, "{}-{}", limit=80)


def _write_rooms(plan):
    passing = [one.pk for one in (*plan.renamed_rooms, *plan.gone_rooms)]
    if passing:
        # Rooms may exchange names, which the unique constraint checks row by row.
        Room.objects.filter(pk__in=passing).update(name=Concat(Value("~"), Cast("pk", CharField())))
    _update(plan.changed_rooms, Room, ["name", "capacity", "description", "external_id"])
    Room.objects.bulk_create(plan.new_rooms, batch_size=BATCH)


def _update(rows, model, fields):
    if rows:
        model.objects.bulk_update(rows, fields, batch_size=BATCH)


SESSION_COLUMNS = ["title", "starts_at", "ends_at", "room", "status", "external_id", *TEXTS]


def _write_sessions(plan, actor, progress):
    told = {"default_user": actor, "default_change_reason": IMPORTED}
    for start in range(0, len(plan.new_sessions), BATCH):
        batch = plan.new_sessions[start : start + BATCH]
        bulk_create_with_history(batch, Session, **told)
        progress(len(batch))
    for start in range(0, len(plan.changed_sessions), BATCH):
        batch = plan.changed_sessions[start : start + BATCH]
        bulk_update_with_history(batch, Session, SESSION_COLUMNS, **told)
    progress(len(plan.schedule.sessions) - len(plan.new_sessions))


def _delete_sessions(sessions, actor):
    """Set-based, and with a history: signals would write the history row by row."""
    record = Session.history.model
    now = timezone.now()
    record.objects.bulk_create(
        [
            record(
                history_date=now,
                history_user=actor,
                history_change_reason=IMPORTED,
                history_type="-",
                **{column.attname: getattr(one, column.attname) for column in record.tracked_fields},
            )
            for one in sessions
        ],
        batch_size=BATCH,
    )
    keys = [one.pk for one in sessions]
    Session.speakers.through.objects.filter(session__in=keys).delete()
    # Nothing refers to them, as the plan found and the lock holds; without the signals, then.
    gone = Session.objects.filter(pk__in=keys)
    gone._raw_delete(gone.db)
