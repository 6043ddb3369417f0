"""Two who write the same thing at once: the second one sees what the first one did, and loses nothing."""

from datetime import datetime

from django import forms
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _


class Meanwhile:
    """For a model form whose fields show their hidden initial values. Its ``data`` may be changed."""

    def refuse_once(self, sentence) -> None:
        """What one changed stands there as one wrote it, all else as it is by now; saved again, it is so."""
        mine, self.data = {*self.changed_data}, self.data.copy()
        for name, field in self.fields.items():
            shown = self[name]
            if name in mine and self.is_newer(name) and field.has_changed(shown.initial, shown.data):
                self.add_error(name, forms.ValidationError(_("Now there stands: {}").format(self.stands(name))))
            if field.show_hidden_initial:
                self._put(shown.html_initial_name, field.hidden_widget(), shown.initial)
            if name not in mine:
                self._put(shown.html_name, field.widget, shown.initial)
        self.add_error(None, forms.ValidationError(sentence, code="changed"))

    def before(self, name):
        """What the field showed when the page was opened; None where the page doesn't say."""
        field = self.fields[name]
        return field.hidden_widget().value_from_datadict(self.data, self.files, self[name].html_initial_name)

    def is_newer(self, name) -> bool:
        """Whether somebody else has changed the field since."""
        return self.fields[name].has_changed(self[name].initial, self.before(name))

    def stands(self, name) -> str:
        """The field's value by now, in words."""
        now, field = self[name].initial, self.fields[name]
        if isinstance(field, forms.ChoiceField):
            chosen = now if isinstance(now, list) else [now]
            return ", ".join(str(label) for value, label in field.choices if value in chosen) or "–"
        if isinstance(now, datetime):
            return date_format(timezone.localtime(now), "DATETIME_FORMAT")
        return str(now or "–")

    def _put(self, name, widget, value):
        if isinstance(widget, forms.MultiWidget):
            for part, one, end in zip(widget.decompress(value), widget.widgets, widget.widgets_names, strict=True):
                self.data[f"{name}{end}"] = one.format_value(part) or ""
        elif isinstance(value, list):
            self.data.setlist(name, value)
        else:
            self.data[name] = "" if value is None else str(value)
