"""Where organisers choose what they hear of, and how: each for themselves."""

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminSelectWidget

from config.admin import AccountPage, account_page

from ..models import NoticePreference
from ..models.addresses import HEARS
from ..operations import preferences

HELP = {
    NoticePreference.Topic.REQUESTS: gettext_lazy(
        "At once: within a minute, and no more than every ten minutes for an event. "
        "Once a day: in the morning, when somebody waits."
    ),
    NoticePreference.Topic.DOOR: gettext_lazy(
        "At once: the first check-in of a day, and whoever is refused. Once a day: how many came."
    ),
    NoticePreference.Topic.SERVICE: gettext_lazy(
        "At once: a customer has waited for too long, or asks for help while nobody is on duty."
    ),
}


class NoticesForm(forms.Form):
    """A choice for each organisation and topic; ``chosen`` is preferences.choices_of(person)."""

    def __init__(self, *args, chosen, **kwargs):
        super().__init__(*args, **kwargs)
        for organization, modes in chosen:
            for topic, mode in modes.items():
                self.fields[f"{topic}_{organization.pk}"] = forms.ChoiceField(
                    label=topic.label if len(chosen) == 1 else f"{organization}: {topic.label}",
                    choices=[(one.value, one.label) for one in NoticePreference.OFFERED[topic]],
                    initial=mode,
                    help_text=HELP[topic],
                    widget=UnfoldAdminSelectWidget,
                )

    def choices(self):
        """(organisation's id, topic, mode) of each field that was changed."""
        for name in self.changed_data:
            topic, _underscore, organization_id = name.rpartition("_")
            yield int(organization_id), topic, self.cleaned_data[name]


def _allowed(person) -> bool:
    """Superusers too, who see that they hear of nothing where they have no role."""
    return person.has_any_role(HEARS)


@require_http_methods(["GET", "POST"])
def notices(request):
    if not _allowed(request.user):
        raise Http404
    chosen = preferences.choices_of(request.user)
    form = NoticesForm(request.POST or None, chosen=chosen)
    if form.is_valid():
        for organization_id, topic, mode in form.choices():
            preferences.choose(organization_id=organization_id, topic=topic, mode=mode, actor=request.user)
        messages.success(request, _("Saved: from now on you hear of things as you have chosen."))
        return HttpResponseRedirect(request.path)
    context = admin.site.each_context(request) | {"title": _("Notices"), "form": form}
    return TemplateResponse(request, "admin/notices.html", context)


account_page(AccountPage("notices", title=gettext_lazy("Notices"), view=notices, allowed=_allowed))
