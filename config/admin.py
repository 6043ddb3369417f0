"""The admin's foundations: the site, scoping by role, acts on rows, errors as messages.

An :class:`Act` is a domain operation offered to organisers, as an action on selected rows and as a
button on the row's own page. :class:`DomainAdmin` is the base of every admin class here. An upper
app adds its acts to a lower app's admin with :func:`extend`.
"""

from collections import defaultdict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from csp.decorators import csp_replace
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst, slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods
from import_export.admin import ExportMixin
from import_export.formats.base_formats import CSV, XLSX
from import_export.resources import ModelResource
from import_export.widgets import BooleanWidget
from rules.permissions import permissions
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm
from unfold.contrib.import_export.forms import ExportForm
from unfold.sites import UnfoldAdminSite
from unfold.views import ChangeList

from config import second_factor
from config.errors import DomainError, NotAllowed, reference, translated
from config.moments import MomentField, comes_twice, said_of_twice

log = structlog.get_logger(__name__)


# -- The site --------------------------------------------------------------------------------


class AdminSite(UnfoldAdminSite):
    """Open to superusers, and to members and mechanics of any organisation; what they see there is scoped."""

    login_form = second_factor.SignInForm

    def has_permission(self, request):
        return request.user.is_active and request.user.is_staff and not second_factor.pending(request)

    def autocomplete_view(self, request):
        if "\0" in request.GET.get("term", ""):
            raise SuspiciousOperation("the null character can't be searched for")
        return Choices.as_view(admin_site=self)(request)

    def admin_view(self, view, cacheable=False):
        # The theme evaluates expressions and sets inline styles, which the strict policy forbids.
        return csp_replace(settings.CSP_LOOSE)(second_factor.asked_first(super().admin_view(view, cacheable)))

    def get_app_list(self, request, app_label=None):
        """Every page gets it and few show it: what the person may do with each model is asked by those."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))

    def each_context(self, request):
        shown = [function(request) for function in _banners] if request.user.is_authenticated else []
        return super().each_context(request) | {"banners": [one for one in shown if one]}

    def get_urls(self):
        page = csp_replace(settings.CSP_LOOSE)(second_factor.page)
        own = [path(f"{one.name}/", self.admin_view(one.view), name=one.name) for one in _account_pages]
        return [path("second-factor/", page, name="second_factor"), *own, *super().get_urls()]

    @method_decorator(csp_replace(settings.CSP_LOOSE))
    def login(self, request, extra_context=None):
        return super().login(request, extra_context)


class Choices(AutocompleteJsonView):
    """Rows to choose from, by the name that their admin gives them (``choice_label``); ``?event=`` narrows them."""

    def get_queryset(self):
        rows = super().get_queryset()
        related = self.model_admin.list_select_related
        if isinstance(related, (list, tuple)):
            rows = rows.select_related(*related)
        event = self.request.GET.get("event", "")
        if not event or not hasattr(rows.model, "event_id"):
            return rows
        return rows.filter(event=int(event)) if event.isdecimal() and len(event) < 10 else rows.none()

    def serialize_result(self, obj, to_field_name):
        return {"id": str(getattr(obj, to_field_name)), "text": self.model_admin.choice_label(obj, self.request)}


class ChoiceOfEvent(AutocompleteSelect):
    """Searches among the rows that belong to one event, for a form that isn't a model's: ``column`` says which rows."""

    def __init__(self, column, event_id):
        attrs = {"class": "unfold-admin-autocomplete admin-autocomplete"}
        super().__init__(column, admin.site, attrs=attrs)
        self.event_id = event_id

    def get_url(self):
        return f"{super().get_url()}?event={self.event_id}"


@dataclass(frozen=True)
class AccountPage:
    """A page where people set something up for themselves: at admin/{name}/, for whom ``allowed`` says."""

    name: str
    title: str
    view: Callable[[HttpRequest], HttpResponse]
    allowed: Callable[[Any], bool]


_account_pages: list[AccountPage] = []


def account_page(page: AccountPage) -> None:
    """An upper app's page about a person's own account, in the menu under their name."""
    _account_pages.append(page)


def account_links(request):
    """UNFOLD's ACCOUNT navigation: what a person does about their own account."""
    return [
        {"title": _("Change password"), "link": reverse("admin:password_change")},
        {"title": _("Second factor"), "link": reverse("admin:second_factor")},
        *(
            {"title": one.title, "link": reverse(f"admin:{one.name}")}
            for one in _account_pages
            if request.user.is_authenticated and one.allowed(request.user)
        ),
    ]


@dataclass(frozen=True)
class MenuPage:
    """A page of the sidebar that is no list of a model: the admin's route, for whom ``allowed`` says."""

    title: str
    route: str
    allowed: Callable[[Any], bool]


_menu_pages: dict[str, MenuPage] = {}


def menu_page(key: str, page: MenuPage) -> None:
    """An upper app's page, where NAVIGATION says ``key``."""
    _menu_pages[key] = page


_cards: list[Callable[[HttpRequest], dict | None]] = []


def card(function=None, *, first=False):
    """Registers what a dashboard card shows: ``function(request)`` → ``{template, …}`` or None.

    ``first``: what can't wait stands above what lower apps show.
    """
    if function is None:
        return partial(card, first=first)
    _cards.insert(0 if first else len(_cards), function)
    return function


_banners: list[Callable[[HttpRequest], dict | None]] = []


def banner(function):
    """Registers what stands above every page: ``function(request)`` → ``{template, …}`` or None.

    Asked for whoever is signed in, on every page: it may cost one small query, and only for whom it concerns.
    """
    _banners.append(function)
    return function


def dashboard(request, context):
    """UNFOLD's DASHBOARD_CALLBACK: the cards that the apps registered."""
    cards = [one(request) for one in _cards] if request.user.is_authenticated else []
    return context | {"cards": [one for one in cards if one]}


NAVIGATION = [
    (
        gettext_lazy("Events"),
        [
            ("events.Event", "event"),
            ("requests.JoinRequest", "how_to_reg"),
            ("attendance.Attendee", "groups"),
            ("requests.InvitationLink", "link"),
            ("requests.Ban", "block"),
        ],
    ),
    (
        gettext_lazy("Door"),
        [
            ("attendance.CheckIn", "qr_code_scanner"),
            ("attendance.CheckInAttempt", "front_hand"),
            ("attendance.AttendanceAudit", "fact_check"),
            ("attendance.CheckInPoint", "sensor_door"),
            ("attendance.DoorDevice", "smartphone"),
        ],
    ),
    (
        gettext_lazy("Messages"),
        [
            ("messaging.Message", "campaign"),
            ("messaging.EventGuest", "contacts"),
            ("messaging.MessageDelivery", "outbox"),
            ("messaging.UserLinkAudit", "conversion_path"),
        ],
    ),
    (
        gettext_lazy("Agenda"),
        [
            ("events.Session", "calendar_view_day"),
            ("rsvp.SessionRsvp", "event_seat"),
            ("rsvp.WaitlistEntry", "hourglass_top"),
            ("rsvp.SessionFeedback", "reviews"),
            ("rsvp.WaitlistLog", "history"),
            ("rsvp.RsvpSettings", "tune"),
            ("events.Room", "meeting_room"),
            ("events.Speaker", "record_voice_over"),
        ],
    ),
    (
        gettext_lazy("Service"),
        [
            ("requests.board", "support_agent"),
            ("requests.SessionRequest", "contact_support"),
            ("requests.Mechanic", "engineering"),
            ("requests.ServiceSettings", "tune"),
        ],
    ),
    (
        gettext_lazy("People"),
        [
            ("events.UserProfile", "person"),
            ("attendance.PointScale", "stars"),
            ("events.Membership", "badge"),
            ("events.Organization", "corporate_fare"),
        ],
    ),
    (
        gettext_lazy("Operations"),
        [
            ("events.IntegrityResult", "health_and_safety"),
            ("messaging.ChannelState", "cell_tower"),
            ("messaging.OptOut", "notifications_off"),
            ("waffle.Switch", "toggle_on"),
        ],
    ),
]


def navigation(request):
    """The sidebar: what this person may look at, in the order of their work."""
    registered = {model._meta.label: one for model, one in admin.site._registry.items()}
    groups = []
    for title, entries in NAVIGATION:
        items = []
        for key, icon in entries:
            if page := _menu_pages.get(key):
                shown = page.allowed(request.user) and (page.title, page.route)
            elif (one := registered.get(key)) and one.has_view_permission(request):
                route = f"admin:{key.lower().replace('.', '_')}_changelist"
                shown = capfirst(one.list_title or one.opts.verbose_name_plural), route
            else:
                shown = None
            if shown:
                items.append({"title": shown[0], "icon": icon, "link": reverse(shown[1])})
        if any(item["link"] == request.path for item in items):  # and none above it
            items = [item | {"active": item["link"] == request.path} for item in items]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    if groups:
        groups[0]["items"].insert(0, {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")})
    return groups


# -- Acts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """An operation that organisers start from a list or from a row's page.

    ``operation`` is called with ``{key}=<primary key>, actor=<person>``, ``fixed`` and what ``form`` asks for.
    Whatever it returns may say ``changed`` False: the row was that way already. ``permission`` is
    asked of ``rules`` for every single row. ``confirm`` looks at a selection and says what a person
    should know before it is acted on, or None; ``ask`` says it of one row, on its page, to the person,
    and ``ask_filled`` of what the form was filled with, too (nothing: not yet).
    ``of_row``: the form is made for one row (``row=…, person=…``), so that it is asked on its page
    only; ``initial`` is what another form shows of one row. ``done`` may be an ``ngettext_lazy`` by "count";
    ``counts``: how many one outcome counts for. ``named``: of one row, ``done`` and ``already`` follow its name;
    ``tells`` says what became of one in a sentence of its own.
    ``leads``: from a row's page, to that of the row of another kind which the operation gives.
    """

    name: str
    label: str
    operation: Callable[..., Any]
    key: str
    permission: str
    done: str
    already: str = gettext_lazy("were that way already")
    form: type[forms.Form] | None = None
    fixed: dict[str, Any] = field(default_factory=dict, hash=False)
    available: Callable[[models.Model], bool] = field(default=lambda row: True)
    confirm: Callable[[list], str | None] = field(default=lambda rows: None)
    ask: Callable[[models.Model, Any], str | None] = field(default=lambda row, person: None)
    ask_filled: Callable[..., str | None] | None = None
    counts: Callable[[Any], int] = field(default=lambda outcome: 1)
    named: bool = False
    tells: Callable[[Any], str] | None = None
    initial: Callable[[models.Model], dict] = field(default=lambda row: {})
    of_row: bool = False
    leads: bool = False
    icon: str = ""
    tone: str = "default"
    help: str = ""

    @property
    def asks(self) -> bool:
        """For templates, which would call the form's class."""
        return self.form is not None


@dataclass
class Report:
    """What became of each row; told to the person in full."""

    act: Act
    changed: int = 0
    already: int = 0
    names: list[str] = field(default_factory=list)
    """Of whatever was changed, or was that way already."""
    sentences: list[str] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    made: models.Model | None = None
    """Another row to go to: a copy that the act made, or what it leads to."""

    def tell(self, request):
        name = f"{self.names[0]}:" if self.act.named and len(self.names) == 1 else None
        if self.act.tells is not None:
            for sentence in self.sentences:
                messages.success(request, sentence)
        elif self.changed:
            messages.success(request, f"{name or f'{self.changed:,}'} {self.act.done % {'count': self.changed}}.")
        if self.already:
            messages.info(request, f"{name or self.already} {self.act.already}.")
        for reason, names in self.failures.items():
            count = ngettext("{} could not be changed", "{} could not be changed", len(names)).format(len(names))
            messages.error(request, f"{count}. {', '.join(names)}: {reason}")


def run_each(request, rows, act: Act, **arguments) -> Report:
    """Each row in its own transaction, so that one failure undoes only that row. Nothing is silent."""
    report = Report(act)
    several = len({getattr(row, "event_id", None) for row in rows}) > 1
    for row in rows:
        try:
            if not request.user.has_perm(act.permission, row):
                raise NotAllowed
            outcome = act.operation(**{act.key: row.pk}, actor=request.user, **act.fixed, **arguments)
        except DomainError as error:
            report.failures[str(error)].append(act_subject(row, several))
        except Exception as error:
            log.exception("admin.act_failed", act=act.name, row=str(row.pk), error=repr(error))
            report.failures[unexpected()].append(act_subject(row, several))
        else:
            result = getattr(outcome, "row", None)
            if act.leads or (isinstance(result, type(row)) and result.pk != row.pk):
                report.made = result
            report.names.append(act_subject(row, several))
            if getattr(outcome, "changed", True):
                report.changed += act.counts(outcome)
                if act.tells is not None:
                    report.sentences.append(act.tells(outcome))
            else:
                report.already += 1
    return report


def act_subject(row, several_events=False) -> str:
    """Whom the report names: the person where the row is about one, at which event where there are several."""
    person = getattr(row, "user_profile", None)
    if person is None:
        return str(row)
    return f"{person} ({row.event})" if several_events else str(person)


def unexpected() -> str:
    """The sentence for a defect; the log has the same reference."""
    return _("something went wrong on our side (reference {})").format(reference())


_keepers: dict[str, list[Callable[[models.Model], str | None]]] = defaultdict(list)


def keep(model_label: str, reason: Callable[[models.Model], str | None]) -> None:
    """An upper app's reason why a row of a lower app can't be deleted, and what to do instead; None: it can."""
    _keepers[model_label].append(reason)


_extensions: dict[str, list[Act]] = defaultdict(list)


def extend(model_label: str, *acts: Act) -> None:
    """An upper app's acts on a lower app's admin: ``extend("attendance.Attendee", remove, ban)``."""
    _extensions[model_label].extend(acts)


@dataclass(frozen=True)
class Gathering:
    """What is done with the selected rows of a list together, on a page of its own: ``go(request, rows)``
    answers with where to go on, or None to stay. Raises DomainError."""

    name: str
    label: str
    permission: str
    go: Callable[[HttpRequest, list], HttpResponse | None]


_gatherings: dict[str, list[Gathering]] = defaultdict(list)


def gather(model_label: str, gathering: Gathering) -> None:
    """An upper app's :class:`Gathering` on a lower app's list."""
    _gatherings[model_label].append(gathering)


_glances: dict[str, list[Callable]] = defaultdict(list)


def add_glance(model_label: str, function: Callable) -> None:
    """An upper app's figures on a lower app's page: ``function(request, row)`` → (label, value, url) triples."""
    _glances[model_label].append(function)


_after_save: dict[str, list[tuple[Callable[..., Any], Callable[..., None] | None]]] = defaultdict(list)


def after_save(model_label: str, operation: Callable[..., Any], *, tell: Callable[..., None] | None = None) -> None:
    """An upper app's operation to run, in the same transaction, when a lower app's form was saved.

    Called with ``row=…, changed=<names of the changed fields>, actor=…``. What it returns goes to
    ``tell(request, row, outcome)``, which says it in messages.
    """
    _after_save[model_label].append((operation, tell))


_checks: dict[str, list[Callable[[models.Model, dict], None]]] = defaultdict(list)


def check_form(model_label: str, check: Callable[[models.Model, dict], None]) -> None:
    """An upper app's condition on a lower app's form: ``check(row, cleaned)`` raises ValidationError."""
    _checks[model_label].append(check)


@dataclass(frozen=True)
class Columns:
    """An upper app's columns in a lower app's list: functions of a row, in place behind the column ``after``.

    ``figures(rows)`` hangs on the rows of a page what the columns show, once for all of them.
    """

    after: str
    columns: tuple[Callable, ...]
    figures: Callable[[list], None] = field(default=lambda rows: None)


_columns: dict[str, list[Columns]] = defaultdict(list)


def add_columns(model_label: str, columns: Columns) -> None:
    _columns[model_label].append(columns)


_sections: dict[str, list[Callable]] = defaultdict(list)


def add_section(model_label: str, function: Callable) -> None:
    """What an upper app shows on a lower app's page, above its form: ``function(request, row)`` →
    ``{template, …}`` or None. The template finds it as ``section``."""
    _sections[model_label].append(function)


ACT_LIMIT = 1000
"""Rows that one action takes: each is a transaction, and a page must answer."""


# -- Model admins ----------------------------------------------------------------------------

COMPARISONS = ("", "__exact", "__id__exact", "__in", "__id__in", "__gt", "__gte", "__lt", "__lte", "__isnull")
"""What the addresses of lists may ask of a filter's own field."""


def roles_for(permission: str) -> frozenset[str]:
    """The roles that a permission was granted to, in some app's rules.py."""
    return permissions[permission].roles


class Scoped:
    """Rows, choices and permissions by the person's role in each row's organisation (rules.py)."""

    def get_queryset(self, request):
        return super().get_queryset(request).of_staff(request.user, self.view_roles(request))

    def view_roles(self, request):
        """The roles that see this model's rows, as declared with its view permission."""
        return roles_for(self.permission("view"))

    def permission(self, verb: str) -> str:
        return f"{self.opts.app_label}.{verb}_{self.opts.model_name}"

    def _may(self, request, verb, obj=None) -> bool:
        return request.user.has_perm(self.permission(verb), obj)

    def has_view_permission(self, request, obj=None):
        return self._may(request, "view", obj)

    def has_add_permission(self, request, obj=None):
        return self._may(request, "add")

    def has_change_permission(self, request, obj=None):
        return self._may(request, "change", obj)

    def has_delete_permission(self, request, obj=None):
        return self._may(request, "delete", obj)

    def has_module_permission(self, request):
        return self._may(request, "view")

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        kwargs.setdefault("queryset", self._choices(db_field, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        kwargs.setdefault("queryset", self._choices(db_field, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _choices(self, db_field, request):
        """Related rows of the organisations where the person may change this model's rows."""
        manager = db_field.remote_field.model._default_manager
        if not hasattr(manager, "of_staff"):
            return None
        return manager.of_staff(request.user, roles_for(self.permission("change")))


class Page(ChangeList):
    """A page of a list, whose rows learn together what its columns show."""

    def get_results(self, request):
        super().get_results(request)
        self.model_admin.add_figures(list(self.result_list))


class DomainAdmin(Scoped, ModelAdmin):
    """The base of our admin classes: scoped, partial saves, acts, errors as messages on the form."""

    acts: tuple[Act, ...] = ()
    list_title = ""
    """What the list, and the way to it, is called where that isn't what its rows are."""
    list_filter_submit = True
    compressed_fields = True
    warn_unsaved_form = True
    list_per_page = 50
    show_full_result_count = False
    change_form_outer_before_template = "admin/acts.html"

    def choice_label(self, row, request) -> str:
        """How searches for a row of this kind name it."""
        return str(row)

    # -- lists -------------------------------------------------------------------------------

    def get_changelist(self, request, **kwargs):
        return Page

    def add_figures(self, rows: list) -> None:
        """Hangs on the rows of a page what needs a question of its own: one for all of them."""
        for one in _columns[self.opts.label]:
            one.figures(rows)

    def get_list_display(self, request):
        shown = list(super().get_list_display(request))
        for one in _columns[self.opts.label]:
            place = shown.index(one.after) + 1 if one.after in shown else len(shown)
            shown[place:place] = one.columns
        return shown

    # -- errors ------------------------------------------------------------------------------

    def changelist_view(self, request, extra_context=None):
        title = {"title": capfirst(self.list_title or self.opts.verbose_name_plural)}
        if any("\0" in value for name, values in request.GET.lists() if name != SEARCH_VAR for value in values):
            raise SuspiciousOperation("the null character can't be filtered by")
        try:
            return super().changelist_view(request, title | (extra_context or {}))
        except (ValidationError, ValueError) as error:  # keys and filters that no page of ours makes
            raise SuspiciousOperation(str(error)) from error

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        """Errors are caught *outside* the admin's transaction, which is undone by then.

        The form is shown again as it was sent, with the sentence above it.
        """
        try:
            with translated():
                return self._in_zone(request, object_id, form_url, extra_context)
        except DomainError as error:
            if request.method != "POST":
                raise
            return self._shown_again(request, object_id, form_url, extra_context, str(error))
        except (Http404, PermissionDenied):
            raise
        except ValidationError as error:  # a key that no page of ours makes, shown again in its field
            raise SuspiciousOperation(str(error)) from error
        except Exception:
            if request.method != "POST" or settings.DEBUG:
                raise
            log.exception("admin.form_failed", model=self.opts.label, row=object_id)
            return self._shown_again(request, object_id, form_url, extra_context, unexpected())

    def _shown_again(self, request, object_id, form_url, extra_context, sentence):
        request.domain_error = sentence
        self._take_back_messages(request)
        return self._in_zone(request, object_id, form_url, extra_context)

    @staticmethod
    def _take_back_messages(request):
        """Django says "saved successfully" inside the transaction, which the commit may refuse."""
        messages.get_messages(request)._queued_messages.clear()

    def _in_zone(self, request, object_id, form_url, extra_context):
        """Times are shown and entered in the zone of the event that the row belongs to."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        with timezone.override(self.zone_of(request, row) or timezone.get_current_timezone()):
            response = super().changeform_view(request, object_id, form_url, extra_context)
            return response.render() if hasattr(response, "render") else response

    def zone_of(self, request, row) -> ZoneInfo | None:
        """The zone for a row's form (``row`` None: a new one); None for the site's."""
        return None

    def lookup_allowed(self, lookup, value, request):
        """Only what the filters offer: any other field in the address, and any path that leads on
        from a filter's field, would answer questions about what it compares."""
        filters = self.get_list_filter(request)
        if lookup in {one.parameter_name for one in filters if isinstance(one, type)}:  # a word, not a field
            return True
        offered = [one if isinstance(one, str) else one[0] for one in filters if not isinstance(one, type)]
        asked = {f"{name}{comparison}" for name in [*offered, "pk", "id"] for comparison in COMPARISONS}
        return lookup in asked

    def get_form(self, request, obj=None, change=False, **kwargs):
        form_class = super().get_form(request, obj, change=change, **kwargs)
        refused = getattr(request, "domain_error", None)
        checks = _checks[self.opts.label]
        if not refused and not checks:
            return form_class

        class Checked(form_class):
            def clean(form):
                cleaned = super().clean()
                for check in checks:
                    try:
                        check(form.instance, form.cleaned_data)
                    except ValidationError as error:
                        form.add_error(None, error)
                if refused:
                    form.add_error(None, refused)
                return cleaned

        return Checked

    # -- saving ------------------------------------------------------------------------------

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        """The form carries what it showed, so that "changed" means by this person, not by anybody since."""
        if isinstance(db_field, models.DateTimeField):
            kwargs.setdefault("form_class", MomentField)
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.show_hidden_initial = True
        return field

    def save_form(self, request, form, change):
        for name in form.changed_data:
            value = form.cleaned_data.get(name)
            if isinstance(form.fields.get(name), MomentField) and value and comes_twice(value):
                messages.info(request, f"{form[name].label}: {said_of_twice(value)}")
        return super().save_form(request, form, change)

    def save_model(self, request, obj, form, change):
        """Writes the changed fields only: a form opened an hour ago must not undo newer values."""
        obj._history_user = request.user
        if not change:
            obj.save()
        elif names := self._columns.intersection(form.changed_data):
            obj.refresh_from_db(fields=self._columns.intersection(form.fields) - names)  # for the history
            obj.save(update_fields=names)
        for operation, tell in _after_save[self.opts.label]:
            outcome = operation(row=obj, changed=frozenset(form.changed_data), actor=request.user)
            if tell is not None:
                tell(request, obj, outcome)

    def save_related(self, request, form, formsets, change):
        if change:  # what save_m2m finds here, it writes
            changed = form.cleaned_data.keys() & form.changed_data
            form.cleaned_data = {name: form.cleaned_data[name] for name in changed}
        super().save_related(request, form, formsets, change)

    @property
    def _columns(self):
        return {one.name for one in self.opts.concrete_fields}

    def delete_model(self, request, obj):
        obj._history_user = request.user
        obj.delete()

    def kept_by(self, row) -> str | None:
        """Why the row can't be deleted."""
        return next(filter(None, (reason(row) for reason in _keepers[self.opts.label])), None)

    def delete_view(self, request, object_id, extra_context=None):
        row = self.get_object(request, unquote(object_id)) if _keepers[self.opts.label] else None
        if row is not None and self.has_delete_permission(request, row) and (reason := self.kept_by(row)):
            messages.error(request, reason)
            return HttpResponseRedirect(reverse(f"admin:{self._route('change')}", args=(object_id,)))
        try:
            with translated():
                return super().delete_view(request, object_id, extra_context)
        except DomainError as error:
            self._take_back_messages(request)
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse(f"admin:{self._route('change')}", args=(object_id,)))

    # -- what one may not see isn't there ------------------------------------------------------

    def _get_obj_does_not_exist_redirect(self, request, opts, object_id):
        raise Http404

    def history_view(self, request, object_id, extra_context=None):
        self._row_or_404(request, object_id)
        return super().history_view(request, object_id, extra_context)

    def history_form_view(self, request, object_id, version_id, extra_context=None):
        self._row_or_404(request, object_id)
        return super().history_form_view(request, object_id, version_id, extra_context)

    def _row_or_404(self, request, object_id):
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    # -- acts ----------------------------------------------------------------------------------

    @property
    def all_acts(self) -> list[Act]:
        return [*self.acts, *_extensions[self.opts.label]]

    def _route(self, name):
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def get_urls(self):
        act = path(
            "<path:object_id>/act/<slug:name>/", self.admin_site.admin_view(self.act_view), name=self._route("act")
        )
        return [act, *super().get_urls()]

    def get_actions(self, request):
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        for act in self.all_acts:
            if not act.of_row and request.user.has_perm(act.permission):
                actions[act.name] = (self._action_of(act), act.name, act.label)
        for one in _gatherings[self.opts.label]:
            if request.user.has_perm(one.permission):
                actions[one.name] = (self._gathering_of(one), one.name, one.label)
        return actions

    @staticmethod
    def _selected(request, queryset) -> list | None:
        """The rows, or None and a word where they are too many."""
        rows = list(queryset[: ACT_LIMIT + 1])
        if len(rows) <= ACT_LIMIT:
            return rows
        messages.error(request, _("At most {} rows at once: narrow the list with a filter.").format(ACT_LIMIT))
        return None

    def _gathering_of(self, gathering):
        def action(_admin, request, queryset):
            rows = self._selected(request, queryset)
            if rows is None:
                return None
            try:
                return gathering.go(request, rows)
            except DomainError as error:
                messages.error(request, str(error))
                return None

        return action

    def _action_of(self, act):
        def action(_admin, request, queryset):
            rows = self._selected(request, queryset)
            if rows is None:
                return None
            arguments = self._arguments(request, act)
            warning = act.confirm(rows)
            # What was confirmed may have changed since: the sentence that was read comes back with it.
            if arguments is None or (warning and request.POST.get("confirmed") != warning):
                return self._ask(request, act, rows, warning=warning)
            run_each(request, rows, act, **arguments).tell(request)
            return None

        return action

    def _arguments(self, request, act, row=None) -> dict | None:
        """What the act's form was filled with; None while it must be asked."""
        asked = "act_form" in request.POST
        of_row = {"row": row, "person": request.user} if act.of_row else {}
        shown = {"initial": act.initial(row)} if row is not None and not asked else {}
        form = (act.form or forms.Form)(request.POST if asked else None, **of_row, **shown)
        request.act_form = form
        if act.form is None:
            return {}
        return form.cleaned_data if asked and form.is_valid() else None

    def _ask(self, request, act, rows, action_url="", warning=None) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": act.label,
            "opts": self.opts,
            "act": act,
            "form": request.act_form,
            "rows": rows,
            "subjects": [act_subject(row) for row in rows[:20]],
            "more": max(0, len(rows) - 20),
            "warning": warning,
            "action_url": action_url,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "back": self._way_back(request, rows[0]) if action_url else request.get_full_path(),
        }
        return TemplateResponse(request, "admin/ask.html", context)

    def _way_back(self, request, row) -> str:
        """The page of ours that the act was started on, where that says so, else the row's own."""
        back = request.GET.get("back", "")
        if back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None):
            return back
        return reverse(f"admin:{self._route('change')}", args=(row.pk,))

    @method_decorator(require_http_methods(["GET", "POST"]))
    def act_view(self, request, object_id, name):
        """A button on the row's page. GET only asks; the change is a POST."""
        row = self._row_or_404(request, object_id)
        act = next((one for one in self.all_acts if one.name == name), None)
        if act is None:
            raise Http404
        if not request.user.has_perm(act.permission, row):
            raise PermissionDenied
        back = self._way_back(request, row)
        warning = act.ask(row, request.user)
        if request.method == "GET" and act.form is None and not warning:
            return HttpResponseRedirect(back)
        arguments = self._arguments(request, act, row)
        if act.ask_filled is not None:
            warning = act.ask_filled(row, **(arguments or {}))
        unread = warning and request.POST.get("confirmed") != warning
        if request.method == "GET" or arguments is None or unread:
            return self._ask(request, act, [row], request.get_full_path(), warning=warning)
        report = run_each(request, [row], act, **arguments)
        report.tell(request)
        if report.made is not None:
            made = report.made._meta
            back = reverse(f"admin:{made.app_label}_{made.model_name}_change", args=(report.made.pk,))
        return HttpResponseRedirect(back)

    def render_change_form(self, request, context, add=False, change=False, form_url="", obj=None):
        if obj is not None:
            context["acts"] = [
                {"act": act, "url": reverse(f"admin:{self._route('act')}", args=(obj.pk,) + (act.name,))}
                for act in self.all_acts
                if act.available(obj) and request.user.has_perm(act.permission, obj)
            ]
            context["glance"] = self.glance(request, obj)
            if self.kept_by(obj):
                context["show_delete"] = False
            sections = [function(request, obj) for function in _sections[self.opts.label]]
            context["sections"] = [one for one in sections if one]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def glance(self, request, obj) -> list[tuple[str, Any, str | None]]:
        """Label, figure and address, shown big above the form."""
        return [triple for function in _glances[self.opts.label] for triple in function(request, obj)]


class HistoryAdmin(DomainAdmin, SimpleHistoryAdmin):
    """With the history of each row, to be looked at, not to be rewritten."""

    history_list_display = ("reason",)
    shows_history = False
    """Whether this is the copy that shows a row as it was."""

    def has_view_history_or_change_history_permission(self, request, obj=None):
        """simple-history asks for the row's permission only, and would show the door everything."""
        return self.has_view_history_permission(request, obj)

    def has_change_history_permission(self, request, obj=None):
        return False

    def history_form_view(self, request, object_id, version_id, extra_context=None):
        """simple-history saves what is posted here, and makes a form even of what nobody may edit."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        shown = copy(self)
        shown.shows_history, shown.prepopulated_fields = True, {}
        return super(HistoryAdmin, shown).history_form_view(request, object_id, version_id, extra_context)

    def get_readonly_fields(self, request, obj=None):
        if self.shows_history:
            return flatten_fieldsets(self.get_fieldsets(request, obj))
        return super().get_readonly_fields(request, obj)

    @staticmethod
    def reason(record):
        """Why, or where nobody said it the status that the row had from then on."""
        status = record.get_status_display() if hasattr(record, "get_status_display") else ""
        return record.history_change_reason or status


class ReadOnly:
    """A ledger: looked at, never edited by hand."""

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class SafeResource(ModelResource):
    """Cells that a spreadsheet would run as formulas stay text; headings and yes or no are words."""

    headings: dict[str, str] = {
        "event__title": gettext_lazy("Event"),
        "user_profile__first_name": gettext_lazy("First name"),
        "user_profile__last_name": gettext_lazy("Last name"),
        "user_profile__email": gettext_lazy("E-mail"),
        "user_profile__phone": gettext_lazy("Phone"),
        "decided_by__email": gettext_lazy("Decided by"),
    }

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for name, column in self.fields.items():  # the file's headings, and what the page before it announces
            column.column_name = str(self.headings.get(name) or name.replace("_", " ").capitalize())

    def get_user_visible_fields(self):
        return self.get_export_fields()

    def export(self, queryset=None, **kwargs):
        rows = super().export(queryset, **kwargs)
        rows.title = str(capfirst(self._meta.model._meta.verbose_name_plural))
        return rows

    def export_field(self, field, instance, **kwargs):
        if isinstance(field.widget, BooleanWidget):
            return _("yes") if field.get_value(instance) else _("no")
        value = super().export_field(field, instance, **kwargs)
        return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


class Exportable(ExportMixin):
    """CSV and XLSX of the rows that the list shows, filters and search applied."""

    export_form_class = ExportForm
    to_encoding = "utf-8-sig"  # with the mark by which spreadsheets know it
    formats = (CSV, XLSX)

    def get_export_queryset(self, request):
        """A filter that makes no sense is refused: the list leaves it out, but a file would have all rows."""
        try:
            return super().get_export_queryset(request)
        except IncorrectLookupParameters as error:
            raise BadRequest("the address asks for what no filter can") from error

    def get_export_formats(self):
        return list(self.formats)

    def get_export_filename(self, request, queryset, file_format):
        """What it has, of which event where the list is of one, and the day."""
        of_one = "event__id__exact" in request.GET
        event = queryset.order_by().values_list("event__slug", flat=True).first() if of_one else None
        parts = [slugify(str(self.opts.verbose_name_plural)), event, f"{timezone.localdate():%Y-%m-%d}"]
        return f"{'-'.join(filter(None, parts))}.{file_format.get_extension()}"


class ScopedChoice(AutocompleteDropdownForm):
    """The theme's filter form names any row whose key stands in the address; ours only visible ones."""

    def __init__(self, request, name, label, choices, field, model_admin, *args, **kwargs):
        super().__init__(request, name, label, choices, field, model_admin, *args, **kwargs)
        related = model_admin.admin_site.get_model_admin(field.remote_field.model)
        self.fields[name].queryset = related.get_queryset(request)
        self.fields[name].label_from_instance = partial(related.choice_label, request=request)


class ScopedFilter(AutocompleteSelectFilter):
    """A filter over related rows that offers, and names, only rows that the person may see."""

    form_class = ScopedChoice
