"""A day and a time as people enter them: by a clock on the wall, which twice a year is put back or forward."""

from datetime import datetime

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


def _offsets(moment: datetime) -> tuple:
    """What the clock is ahead of UTC by, at the first and at the second time that it shows this."""
    return moment.replace(fold=0).utcoffset(), moment.replace(fold=1).utcoffset()


def comes_twice(moment: datetime) -> bool:
    """Whether the clock shows this time once more on that day."""
    first, second = _offsets(moment)
    return first > second


def said_of_twice(moment: datetime) -> str:
    """Which of both was meant, as nobody could say it."""
    return _("On that day the clocks go back, and {time} comes twice: the first was taken, {full}.").format(
        time=date_format(moment, "H:i"), full=moment.strftime("%H:%M %Z")
    )


class MomentField(forms.SplitDateTimeField):
    """In the zone that forms are shown in. Of a time that comes twice, the first; one that is skipped is refused."""

    default_error_messages = forms.SplitDateTimeField.default_error_messages | {
        "min_value": gettext_lazy("That is too long ago: look at the year."),
        "max_value": gettext_lazy("That is too far ahead: look at the year."),
    }

    def get_bound_field(self, form, field_name):
        bound = super().get_bound_field(form, field_name)
        day, time = self.widget.widgets
        day.attrs["aria-label"] = _("{}: day").format(bound.label)
        time.attrs["aria-label"] = _("{}: time").format(bound.label)
        return bound

    def compress(self, data_list):
        try:
            return super().compress(data_list)
        except ValidationError as error:
            if error.code != "ambiguous_timezone":
                raise
        zone = timezone.get_current_timezone()
        moment = datetime.combine(*data_list, tzinfo=zone)
        if comes_twice(moment):
            return moment
        sentence = _("On that day the clocks go forward, and skip {time} ({zone}). Give an earlier or a later time.")
        raise ValidationError(sentence.format(time=date_format(moment, "H:i"), zone=zone), code="skipped")
