import config.database
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('requests', '0002_attendee_of_request'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='joinrequest',
            name='plus_ones_allowed',
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='joinrequest',
            trigger=pgtrigger.compiler.Trigger(name='plus_ones_allowed', sql=config.database.GuardSql(declare='DECLARE allowed integer;', func="\n            SELECT max_plus_ones INTO allowed FROM events WHERE id = NEW.event_id;\n            IF NEW.plus_ones > allowed THEN\n                RAISE EXCEPTION '% plus-ones, the event allows %', NEW.plus_ones, allowed USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_joinrequest_plus_ones_allowed', TABLE = TG_TABLE_NAME;\n            END IF;\n            RETURN NEW;\n        ", hash='0c1f8fe4fa3a0e96dd60dcc88a39f16fd740ad33', operation='INSERT OR UPDATE OF "plus_ones", "event_id"', pgid='pgtrigger_plus_ones_allowed_27004', table='event_join_requests', when='BEFORE')),
        ),
    ]
