# The trigger reads a column that attendance gains only after this app's tables exist.

import config.database
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('attendance', '0002_initial'),
        ('requests', '0001_initial'),
    ]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name='attendeeofrequest',
            trigger=pgtrigger.compiler.Trigger(name='attendee_of_approved', sql=config.database.GuardSql(constraint='CONSTRAINT', declare='DECLARE found record;', func="\n            IF TG_OP <> 'INSERT' AND OLD.join_request_id IS NOT NULL THEN\n                \n        PERFORM FROM event_join_requests WHERE id = OLD.join_request_id FOR NO KEY UPDATE;\n        SELECT r.status = 'approved' AS approved, a.id IS NOT NULL AS attending INTO found\n        FROM event_join_requests r\n        LEFT JOIN event_attendees a ON a.join_request_id = r.id AND a.status = 'active'\n        WHERE r.id = OLD.join_request_id;\n        IF found.approved AND NOT found.attending THEN\n            RAISE EXCEPTION 'join request % is approved but has no active attendee', OLD.join_request_id USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_joinrequest_approved_has_attendee', TABLE = TG_TABLE_NAME;\n        ELSIF found.attending AND NOT found.approved THEN\n            RAISE EXCEPTION 'join request % is not approved but has an active attendee', OLD.join_request_id USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_joinrequest_approved_has_attendee', TABLE = TG_TABLE_NAME;\n        END IF;\n    \n            END IF;\n            IF TG_OP <> 'DELETE' AND NEW.join_request_id IS NOT NULL THEN\n                \n        PERFORM FROM event_join_requests WHERE id = NEW.join_request_id FOR NO KEY UPDATE;\n        SELECT r.status = 'approved' AS approved, a.id IS NOT NULL AS attending INTO found\n        FROM event_join_requests r\n        LEFT JOIN event_attendees a ON a.join_request_id = r.id AND a.status = 'active'\n        WHERE r.id = NEW.join_request_id;\n        IF found.approved AND NOT found.attending THEN\n            RAISE EXCEPTION 'join request % is approved but has no active attendee', NEW.join_request_id USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_joinrequest_approved_has_attendee', TABLE = TG_TABLE_NAME;\n        ELSIF found.attending AND NOT found.approved THEN\n            RAISE EXCEPTION 'join request % is not approved but has an active attendee', NEW.join_request_id USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_joinrequest_approved_has_attendee', TABLE = TG_TABLE_NAME;\n        END IF;\n    \n            END IF;\n            RETURN NULL;\n        ", hash='866a060026b912d59565ab015c5349d45d23a3dd', operation='INSERT OR UPDATE OF "status", "join_request_id" OR DELETE', pgid='pgtrigger_attendee_of_approved_afd5a', table='event_attendees', timing='DEFERRABLE INITIALLY DEFERRED', when='AFTER')),
        ),
    ]
