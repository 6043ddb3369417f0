"""How the lines of an event work; one row an event, made when something is set for the first time."""

from django import forms
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from config.admin import HistoryAdmin, add_glance, after_save
from events.admin import MinutesField, OfEvent, minutes

from ..models import RsvpSettings, WaitlistMode
from ..models.settings import LONGEST_TTL, OFFER_TTL, SHORTEST_TTL
from ..operations import sessions


class RsvpSettingsForm(forms.ModelForm):
    offer_ttl = MinutesField(
        "offer_ttl",
        of=RsvpSettings,
        least=SHORTEST_TTL,
        most=LONGEST_TTL,
        initial=OFFER_TTL,
        help_text=gettext_lazy("Minutes. Shorter as the session's start comes near, and never past it."),
    )


@admin.register(RsvpSettings)
class RsvpSettingsAdmin(OfEvent, HistoryAdmin):
    form = RsvpSettingsForm
    list_display = ["event", "mode", "holds", "max_offers", "max_party_size", "line_open", "offers_on", "reminders"]
    list_select_related = ["event"]
    search_fields = ["event__title"]
    fieldsets = [
        (None, {"fields": ["event", "max_party_size"]}),
        (
            gettext_lazy("The lines"),
            {"fields": ["waitlist_mode", ("offer_ttl", "max_offers"), "fill_gaps", ("line_open", "offers_on")]},
        ),
        (gettext_lazy("What people are told"), {"fields": ["reminders"]}),
    ]
    readonly_fields = ["holds"]

    def get_fieldsets(self, request, obj=None):
        """Who only looks reads the duration as minutes too; forms have a field of their own for that."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj) and not self.shows_history:
            return fieldsets
        first, (title, lines), last = fieldsets
        names = ["waitlist_mode", ("holds", "max_offers"), *lines["fields"][2:]]
        return [first, (title, {"fields": names}), last]

    def add_view(self, request, form_url="", extra_context=None):
        """An event has one row: whoever comes by an older page for the first is led to it."""
        asked = request.GET.get("event", "")
        known = self.get_queryset(request).filter(pk=asked if asked.isdecimal() and len(asked) < 19 else None)
        if request.method == "GET" and known.exists():
            return HttpResponseRedirect(reverse(f"admin:{self._route('change')}", args=(asked,)))
        return super().add_view(request, form_url, extra_context)

    def response_post_save_add(self, request, obj):
        return self._to_event(obj)

    def response_post_save_change(self, request, obj):
        return self._to_event(obj)

    def message_user(self, request, message, *args, **kwargs):
        """Django's words about a row that was saved are of one thing; these are several."""
        super().message_user(request, _("The RSVP settings are saved."), *args, **kwargs)

    @staticmethod
    def _to_event(row):
        return HttpResponseRedirect(reverse("admin:events_event_change", args=(row.event_id,)))

    @display(description=RsvpSettings._meta.get_field("waitlist_mode").verbose_name)
    def mode(self, row):
        return row.get_waitlist_mode_display()

    @display(description=RsvpSettings._meta.get_field("offer_ttl").verbose_name)
    def holds(self, row):
        return minutes(row.offer_ttl)


def tell(request, row, handed_on: int) -> None:
    """Who got what was held back, at once."""
    if not handed_on:
        return
    if row.waitlist_mode == WaitlistMode.AUTO_CONFIRM:
        words = ngettext("{} person in line got a seat.", "{} people in line got a seat.", handed_on)
    else:
        words = ngettext("{} person in line was offered a seat.", "{} people in line were offered a seat.", handed_on)
    messages.info(request, words.format(handed_on))


after_save("rsvp.RsvpSettings", sessions.settings_changed, tell=tell)


def settings_of_event(request, event):
    """What happens with a seat that becomes free, and the way to change it."""
    if not request.user.has_perm("rsvp.view_rsvpsettings", event):
        return []
    row = RsvpSettings.objects.filter(pk=event.pk).first()
    shown = row or RsvpSettings(event=event)
    words = (
        _("Confirmed at once")
        if shown.waitlist_mode == WaitlistMode.AUTO_CONFIRM
        else _("Offers hold {}").format(minutes(shown.offer_ttl))
    )
    page = None
    if row is not None:
        page = reverse("admin:rsvp_rsvpsettings_change", args=(event.pk,))
    elif request.user.has_perm("rsvp.add_rsvpsettings", event):
        page = f"{reverse('admin:rsvp_rsvpsettings_add')}?event={event.pk}"
    return [(_("RSVP settings"), words, page)]


add_glance("events.Event", settings_of_event)
