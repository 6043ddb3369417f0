-- The two roles of a Turnout database. Run once as a superuser, in the database itself:
--
--     OWNER_PASSWORD=… APP_PASSWORD=… psql -d turnout -f deploy/roles.sql
--
-- The owner runs migrations and nothing else. The application reads and writes rows; it can't touch
-- tables, triggers or constraints, so that what the database promises holds against it too.
-- Run it again after the first migrate, and after a restore: some of it is about a table that isn't
-- there before. Otherwise that changes nothing but the passwords. Other names: TURNOUT_OWNER, TURNOUT_APP.
\set ON_ERROR_STOP on
\set owner turnout_owner
\set app turnout_app
\set owner_password ''
\set app_password ''
\getenv owner TURNOUT_OWNER
\getenv app TURNOUT_APP
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name) FROM (VALUES (:'owner'), (:'app')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I PASSWORD %L', name, password)
FROM (VALUES (:'owner', :'owner_password'), (:'app', :'app_password')) AS given (name, password)
WHERE password <> '' \gexec

-- Bounded waits belong to the role: PgBouncer drops connection options. A lock that is not granted
-- in time is an answer ("busy", try again), for a migration too: it must not queue people up.
ALTER ROLE :"owner" SET lock_timeout = '3s';
ALTER ROLE :"app" SET lock_timeout = '3s';
ALTER ROLE :"app" SET statement_timeout = '30s';
ALTER ROLE :"app" SET idle_in_transaction_session_timeout = '60s';

ALTER DATABASE :"DBNAME" OWNER TO :"owner";
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- A trigger on a temporary table of one's own would run at the depth that counters trust.
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"app";

-- For what migrations make from now on, and for what there is.
BEGIN;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO :"app";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"app";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"app";

-- A second wall around the audits, whose triggers refuse every change already. INSERT is what those
-- triggers do in the application's name; UPDATE of a note is what erasing a person needs.
SELECT format(statement, :'app')
FROM (VALUES
    (1, 'event_attendance_audit', 'REVOKE UPDATE, DELETE, TRUNCATE ON event_attendance_audit FROM %I'),
    (2, 'event_attendance_audit', 'GRANT UPDATE (notes) ON event_attendance_audit TO %I'),
    (3, 'user_link_audit', 'REVOKE UPDATE, DELETE, TRUNCATE ON user_link_audit FROM %I'),
    (4, 'session_waitlist_log', 'REVOKE UPDATE, DELETE, TRUNCATE ON session_waitlist_log FROM %I'),
    (5, 'session_request_log', 'REVOKE UPDATE, DELETE, TRUNCATE ON session_request_log FROM %I')
) AS wanted (turn, audit, statement)
WHERE to_regclass('public.' || audit) IS NOT NULL ORDER BY turn \gexec
COMMIT;
