# What would hold a big table up is done beside the running site: the index is built concurrently, and
# making a constraint of it takes no time.

from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('attendance', '0004_attendance_checked'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    [
                        'DROP INDEX CONCURRENTLY IF EXISTS "attendance_attendee_id_event"',  # of a run that was cut off
                        'CREATE UNIQUE INDEX CONCURRENTLY "attendance_attendee_id_event" ON "event_attendees" ("id", "event_id")',
                    ],
                    migrations.RunSQL.noop,
                ),
                migrations.RunSQL(
                    'ALTER TABLE "event_attendees" ADD CONSTRAINT "attendance_attendee_id_event" UNIQUE USING INDEX "attendance_attendee_id_event"',
                    'ALTER TABLE "event_attendees" DROP CONSTRAINT "attendance_attendee_id_event"',
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='attendee',
                    constraint=models.UniqueConstraint(fields=('id', 'event'), name='attendance_attendee_id_event'),
                ),
            ],
        ),
    ]
