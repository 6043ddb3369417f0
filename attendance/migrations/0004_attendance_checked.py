# What would hold a big table up is done beside the running site: the index is built concurrently, and
# the rows that stand already are checked without a lock that writers feel.

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('attendance', '0003_attendance'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='attendee',
            index=models.Index(models.F('event'), models.F('attendance_status'), name='event_attendees_attendance'),
        ),
        AddConstraintNotValid(
            model_name='attendee',
            constraint=models.CheckConstraint(condition=models.Q(('attendance_status__in', ['unknown', 'present', 'late', 'excused', 'absent'])), name='attendance_attendee_attendance_known'),
        ),
        AddConstraintNotValid(
            model_name='attendee',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('attendance_source__in', ['scan', 'admin', 'api', 'undo', 'approval', 'auto_absence', 'import', 'backfill', 'sql']), ('attendance_source__isnull', False)), models.Q(('attendance_source', None), ('attendance_status', 'unknown')), _connector='OR'), name='attendance_attendee_attendance_source_known'),
        ),
        ValidateConstraint(model_name='attendee', name='attendance_attendee_attendance_known'),
        ValidateConstraint(model_name='attendee', name='attendance_attendee_attendance_source_known'),
    ]
