"""Attendees, for organisers; door staff see the few columns that the door needs."""

from collections import Counter
from functools import partial

from django.contrib import admin
from django.db.models import Sum
from django.urls import path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from import_export.fields import Field
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.decorators import display

from config.admin import Act, Exportable, HistoryAdmin, ReadOnly, SafeResource, Scoped, ScopedFilter, add_glance
from events.admin import person_header, told_apart
from events.models.people import Role

from .. import views
from ..forms import AttendanceNoteForm
from ..models import AttendanceAudit, AttendanceStatus, Attendee
from ..operations import figures, marking, points, room
from .figures import figures_data, figures_page
from .record import COLOURS, AttendanceAuditAdmin, answers_for, at_event


class AttendeeResource(SafeResource):
    """What organisers need on paper; times are the event's, and a column says in which zone that is."""

    headings = SafeResource.headings | {
        "owner_id": _("Owner ID"),
        "source": _("Came by"),
        "attendance_notes": _("Note on attendance"),
        "visibility_enabled": _("Visible in the room"),
        "created_at": _("In since"),
    }
    status = Field(column_name="status")
    attendance = Field(column_name="attendance")
    marked_at = Field(column_name="marked_at")
    marked_by = Field(column_name="marked_by")
    marked_through = Field(column_name="marked_through")
    time_zone = Field(column_name="time_zone", attribute="event__timezone")
    source = Field(column_name="source")
    created_at = Field(column_name="created_at")

    class Meta:
        model = Attendee
        fields = [
            "user_profile__first_name",
            "user_profile__last_name",
            "user_profile__email",
            "event__title",
            "status",
            "plus_ones",
            "attendance",
            "marked_at",
            "marked_by",
            "marked_through",
            "attendance_notes",
            "time_zone",
            "source",
            "owner_id",
            "visibility_enabled",
            "goals",
            "looking_for",
            "company_website",
            "created_at",
        ]
        export_order = fields

    def filter_export(self, queryset, **kwargs):
        rows = super().filter_export(queryset, **kwargs)
        return rows.select_related("event", "user_profile", "attendance_marked_by", "attendance_device")

    def dehydrate_status(self, attendee):
        return attendee.get_status_display()

    def dehydrate_attendance(self, attendee):
        return attendee.get_attendance_status_display()

    def dehydrate_marked_at(self, attendee):
        return cell(attendee.attendance_marked_at, attendee.event.zone)

    def dehydrate_marked_by(self, attendee):
        return marked_by(attendee)

    def dehydrate_marked_through(self, attendee):
        return attendee.get_attendance_source_display() or ""

    def dehydrate_source(self, attendee):
        return attendee.get_source_display()

    def dehydrate_created_at(self, attendee):
        return cell(attendee.created_at, attendee.event.zone)


def cell(moment, zone) -> str:
    """A time that spreadsheets sort, by the event's clock."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") if moment else ""


def marked_by(attendee) -> str:
    if attendee.attendance_source is None:
        return ""
    return str(answers_for(attendee.attendance_marked_by, attendee.attendance_device))


class AuditInline(ReadOnly, Scoped, TabularInline):
    """Every change of this attendee's status, as the database has written it."""

    model = AttendanceAudit
    extra = 0
    fields = readonly_fields = ["recorded", "happened", "from_status", "to_status", "by", "source", "notes", "db_user"]
    ordering = ["-pk"]
    hide_title = True
    verbose_name_plural = _("attendance, from the record")

    recorded, happened, by = AttendanceAuditAdmin.recorded, AttendanceAuditAdmin.happened, AttendanceAuditAdmin.by

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("event", "actor", "device")


def marked_otherwise(rows, status) -> str | None:
    """Of whom somebody has said something else: a selection must not take that away unseen."""
    counts = Counter(row.attendance_status for row in rows if row.is_active)
    others = [one for one in points.SCORING if one != status and counts[one]]
    if not others:
        return None
    total = sum(counts[one] for one in others)
    parts = ", ".join(f"{counts[one]} {str(one.label).lower()}" for one in others)
    sentence = ngettext("{} of them is marked already: {}.", "{} of them are marked already: {}.", total)
    return sentence.format(total, parts)


def mark_as(status, label, done, already, **more) -> Act:
    """Mark selected attendees by hand; ``more`` is the look of it."""
    return Act(
        name=f"mark_{status}",
        label=label,
        operation=marking.mark,
        key="attendee_id",
        permission="attendance.mark_attendee",
        fixed={"status": status},
        done=done,
        already=already,
        available=lambda attendee: attendee.is_active and attendee.attendance_status != status,
        confirm=partial(marked_otherwise, status=status),
        **more,
    )


@admin.register(Attendee)
class AttendeeAdmin(ReadOnly, Exportable, HistoryAdmin):
    """A ledger: people come in and go by acts only."""

    resource_classes = [AttendeeResource]
    list_display = ["who", "event", "state", "attendance", "plus_ones", "source", "shown_in_room", "in_since"]
    list_filter = [
        ("event", ScopedFilter),
        "status",
        ("attendance_status", ChoicesCheckboxFilter),
        "source",
    ]
    list_before_template = "admin/attendee_links.html"
    inlines = [AuditInline]
    list_select_related = ["event", "user_profile"]
    search_fields = ["user_profile__first_name", "user_profile__last_name", "user_profile__email", "owner_id"]
    fieldsets = [
        (None, {"fields": [("user_profile", "event"), ("status", "source"), "plus_ones", "join_request"]}),
        (
            _("Attendance"),
            {"fields": [("attendance_status", "marked_at"), ("by", "attendance_source"), "attendance_notes"]},
        ),
        (_("Looking for"), {"fields": ["goals", "looking_for", "rsvp_contact", "company_website"]}),
        (_("In the room"), {"fields": [("visibility_enabled", "hidden"), "notifications_enabled"]}),
        (_("Record"), {"fields": ["owner_id", ("in_since", "updated")]}),
    ]
    readonly_fields = ["marked_at", "by", "name", "hidden", "in_since", "updated"]
    in_since = at_event("created_at", _("in since"))
    updated = at_event("updated_at", _("updated"))
    hidden = at_event("hidden_at", _("hidden since"))
    marked_at = at_event("attendance_marked_at", _("marked at"))
    acts = (
        mark_as(
            AttendanceStatus.PRESENT,
            _("Mark present"),
            _("marked present"),
            _("were present already"),
            icon="check",
            tone="primary",
        ),
        mark_as(AttendanceStatus.LATE, _("Mark late"), _("marked late"), _("were late already"), icon="schedule"),
        mark_as(
            AttendanceStatus.EXCUSED,
            _("Mark excused"),
            _("marked excused"),
            _("were excused already"),
            icon="sick",
            form=AttendanceNoteForm,
        ),
        mark_as(
            AttendanceStatus.ABSENT,
            _("Mark absent"),
            _("marked absent"),
            _("were absent already"),
            icon="person_off",
            form=AttendanceNoteForm,
        ),
        mark_as(
            AttendanceStatus.UNKNOWN,
            _("Back to unknown"),
            _("back to unknown"),
            _("were unknown already"),
            icon="undo",
            form=AttendanceNoteForm,
            help=_("As if nobody had marked them. The record keeps what was before."),
        ),
        Act(
            name="hide",
            label=_("Hide from the room"),
            operation=room.hide,
            key="attendee_id",
            permission="attendance.manage_attendee",
            done=_("hidden from the room"),
            already=_("were hidden already"),
            available=lambda attendee: attendee.is_active and not attendee.hidden_at,
            icon="visibility_off",
        ),
        Act(
            name="show",
            label=_("Show in the room"),
            operation=room.show,
            key="attendee_id",
            permission="attendance.manage_attendee",
            done=_("shown again, if they want to be seen"),
            already=_("weren't hidden"),
            available=lambda attendee: bool(attendee.hidden_at),
            icon="visibility",
        ),
    )

    def get_urls(self):
        def page(function):
            return self.admin_site.admin_view(partial(function, model_admin=self))

        return [
            path("import/", page(views.import_attendance), name="attendance_attendee_import"),
            path("figures/<int:event_id>/", page(figures_page), name="attendance_attendee_figures"),
            path("figures/<int:event_id>/data.json", page(figures_data), name="attendance_attendee_figures_data"),
            *super().get_urls(),
        ]

    def changelist_view(self, request, extra_context=None):
        links = {"may_import": request.user.has_perm("attendance.mark_attendee")}
        return super().changelist_view(request, links | (extra_context or {}))

    def zone_of(self, request, row):
        return row.event.zone if row else None

    # -- the door sees name, photo, plus-ones and status, nothing that searches or records more ----

    @staticmethod
    def _sees_all(request):
        return request.user.has_any_role(Role.LOOK)

    def get_queryset(self, request):
        """Somebody who looks after one organisation and does the door of another sees each accordingly:
        in the list, rows of the organisations they look after, unless they only do doors."""
        rows = super().get_queryset(request)
        return rows.of_staff(request.user, Role.LOOK) if self._sees_all(request) else rows

    def get_list_display(self, request):
        return (
            self.list_display if self._sees_all(request) else ["door_who", "event", "state", "attendance", "plus_ones"]
        )

    def get_list_filter(self, request):
        return self.list_filter if self._sees_all(request) else self.list_filter[:3]

    def get_fieldsets(self, request, obj=None):
        if self._sees_all(request):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ["name", "event", "status", "plus_ones", "attendance_status"]})]

    def get_search_fields(self, request):
        return self.search_fields if self._sees_all(request) else self.search_fields[:2]

    def has_view_history_permission(self, request, obj=None):
        return self._sees_all(request) and self.has_view_permission(request, obj)

    def has_export_permission(self, request):
        return self._sees_all(request)

    def choice_label(self, row, request):
        return told_apart(row.user_profile) if self._sees_all(request) else str(row)

    @display(description=_("attendee"), header=True, ordering="user_profile__first_name")
    def who(self, attendee):
        return person_header(attendee.user_profile)

    @display(description=_("attendee"), header=True, ordering="user_profile__first_name")
    def door_who(self, attendee):
        return person_header(attendee.user_profile, contact=False)

    @display(description=_("attendee"))
    def name(self, attendee):
        return attendee.user_profile.get_full_name() or _("(no name)")

    @display(description=_("status"), label={"active": "success", "removed": "danger"}, ordering="status")
    def state(self, attendee):
        return attendee.status, attendee.get_status_display()

    @display(description=_("visible"), boolean=True)
    def shown_in_room(self, attendee):
        return attendee.visibility_enabled and attendee.hidden_at is None

    @display(description=_("attendance"), label=COLOURS, ordering="attendance_status")
    def attendance(self, attendee):
        return attendee.attendance_status, attendee.get_attendance_status_display()

    @display(description=_("by"))
    def by(self, attendee):
        return marked_by(attendee) or "–"


def attendance_of_event(request, event):
    """In and expected, and the ways to the door and to the figures, on the event's page."""
    page = reverse("admin:attendance_attendee_changelist") + f"?event__id__exact={event.pk}&status__exact=active"
    counts = figures.tally(event)
    told = []
    if request.user.has_perm("attendance.view_attendee", event):
        told.append((_("Checked in / expected"), f"{counts['here']} / {counts['expected']}", page))
    if request.user.has_perm("attendance.check_in_attendee", event) and event.status != event.Status.CANCELLED:
        told.append((_("Door page"), _("Open"), reverse("door", args=(event.pk,))))
    if request.user.has_perm("attendance.view_checkin", event):
        figures_of = reverse("admin:attendance_attendee_figures", args=(event.pk,))
        told.append((_("Attendance figures"), _("Show"), figures_of))
    return told


def points_of_person(request, person):
    """What their attendance is worth, in each organisation that the viewer looks after."""
    path = "event__organization"
    rows = points.scored(Attendee.objects.filter(user_profile=person).of_staff(request.user)).order_by()
    sums = rows.values(path, f"{path}__name").annotate(total=Sum("points")).order_by(f"{path}__name", path)
    page = reverse("admin:attendance_attendee_changelist") + f"?q={person.owner_id}"
    return [(gettext("Points, {}").format(row[f"{path}__name"]), row["total"], page) for row in sums]


add_glance("events.Event", attendance_of_event)
add_glance("events.UserProfile", points_of_person)
