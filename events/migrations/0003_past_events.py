# Events that were over before attendance was taken: their people weren't absent, nobody asked. They are
# completed by the next sweep, and absence is marked only where somebody was marked after all.

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0002_attendance'),
    ]

    operations = [
        migrations.RunSQL(
            "UPDATE events SET auto_absence = 'if_used' WHERE ends_at < now()",
            migrations.RunSQL.noop,
        ),
    ]
