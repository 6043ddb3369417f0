# What would hold a big table up is done beside the running site: the index is built concurrently, and
# making a constraint of it takes no time.

from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('events', '0006_lines'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    [
                        'DROP INDEX CONCURRENTLY IF EXISTS "events_session_id_event"',  # of a run that was cut off
                        'CREATE UNIQUE INDEX CONCURRENTLY "events_session_id_event" ON "event_sessions" ("id", "event_id")',
                    ],
                    migrations.RunSQL.noop,
                ),
                migrations.RunSQL(
                    'ALTER TABLE "event_sessions" ADD CONSTRAINT "events_session_id_event" UNIQUE USING INDEX "events_session_id_event"',
                    'ALTER TABLE "event_sessions" DROP CONSTRAINT "events_session_id_event"',
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='session',
                    constraint=models.UniqueConstraint(fields=('id', 'event'), name='events_session_id_event'),
                ),
            ],
        ),
    ]
