"""How it is decided whose a delivery is: one SQL function, table by table as in docs/linking.md.

The insert trigger of deliveries, the trigger of guests, and the backfill all ask ``messaging_link``.
A further source of links (an external id, say) is one more row of its cases.
"""

UUID7 = """
-- PostgreSQL has uuidv7() from 18 on. The first 48 bits are milliseconds, the rest is random.
CREATE OR REPLACE FUNCTION messaging_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;
"""

SWITCH = """
-- A switch of the admin, read at the moment of use; its documented default where it has no row.
CREATE OR REPLACE FUNCTION messaging_switch(named text, otherwise boolean) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT active FROM waffle_switch WHERE name = named), otherwise);
END
$$;
"""

LINK = """
-- Whose a delivery is: to this guest (or to nobody on a list), at this event, with this number
-- (or the guest's). Gives the person or null, the outcome, the method, and which case it was.
CREATE OR REPLACE FUNCTION messaging_link(
    for_guest uuid, of_event bigint, by_phone text,
    OUT person uuid, OUT outcome text, OUT method text, OUT applied text
) LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
DECLARE
    own uuid;
    removed boolean := false;
    number text := nullif(by_phone, '');
    guests bigint; people bigint; of_guests uuid;  -- of the event, with this number
    accounts bigint; of_account uuid;  -- that have verified it: an unverified one is anybody's to type
    phone_on boolean := true; fallback_on boolean := false;
BEGIN
    IF for_guest IS NOT NULL THEN
        SELECT g.event_id, g.user_id, g.removed_at IS NOT NULL, coalesce(number, g.phone)
        INTO of_event, own, removed, number
        FROM event_guests g WHERE g.id = for_guest;
    END IF;
    IF own IS NULL AND number IS NOT NULL THEN
        SELECT count(*), count(DISTINCT g.user_id), (array_agg(g.user_id) FILTER (WHERE g.user_id IS NOT NULL))[1]
        INTO guests, people, of_guests
        FROM event_guests g WHERE g.phone = number AND g.event_id + 0 = of_event AND g.removed_at IS NULL;
        -- (+ 0: by the index of numbers even where the table has no statistics yet, never through a whole list)
        SELECT count(*), (array_agg(p.id))[1]
        INTO accounts, of_account
        FROM user_profiles p
        WHERE p.phone = number AND p.phone <> '' AND p.phone_verified AND p.is_active AND p.erased_at IS NULL;
    END IF;
    IF own IS NULL THEN
        phone_on := messaging_switch('LINK_USER_BY_PHONE', true);
        fallback_on := messaging_switch('LINK_USER_BY_PHONE_FALLBACK_TO_USERS', false);
    END IF;

    SELECT one.person, one.outcome, one.method, one.applied INTO person, outcome, method, applied
    FROM (VALUES
        -- rank, applies when, person, outcome, method, case
        (1, own IS NOT NULL AND NOT removed,                  own,        'linked',    'guest', 'own_link'),
        (2, coalesce(removed, false),                         NULL,       'no_match',  NULL,    'removed'),
        (3, for_guest IS NULL AND number IS NULL,             NULL,       'no_match',  NULL,    'nobody'),
        (4, NOT phone_on,                                     NULL,       'skipped',   'phone', 'phone_off'),
        (5, people > 1 OR people = 0 AND guests > 1,          NULL,       'ambiguous', 'phone', 'guests'),
        (6, people = 1,                                       of_guests,  'linked',    'phone', 'guest_phone'),
        (7, NOT fallback_on,                                  NULL,       'skipped',   'phone', 'fallback_off'),
        (8, accounts > 1,                                     NULL,       'ambiguous', 'phone', 'accounts'),
        (9, accounts = 1,                                     of_account, 'linked',    'phone', 'account'),
        (10, true,                                            NULL,       'no_match',  'phone', 'no_account')
    ) AS one(rank, applies, person, outcome, method, applied)
    WHERE one.applies ORDER BY one.rank LIMIT 1;
END
$$;
"""

MATCH = """
-- Links guests to the people who have verified their e-mail or number: where a guest fits one person
-- and the person no other guest of the event. Whoever fits more is parked for staff.
CREATE OR REPLACE FUNCTION messaging_match_guests(candidates uuid[], OUT linked bigint, OUT ambiguous bigint)
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
DECLARE
    by_phone boolean := messaging_switch('LINK_USER_BY_PHONE', true);
BEGIN
    WITH guest AS (
        SELECT g.id, g.event_id, g.phone, g.email FROM event_guests g
        WHERE g.id = ANY (candidates) AND g.user_id IS NULL AND g.removed_at IS NULL
            AND g.link_outcome IS DISTINCT FROM 'no_match'  -- unlinked by hand: that stands
        ORDER BY g.id FOR NO KEY UPDATE
    ), fits AS (
        SELECT guest.id, guest.event_id, p.id AS person, 'email' AS method
        FROM guest JOIN user_profiles p ON lower(p.email) = guest.email
        WHERE p.email_verified AND p.is_active AND p.erased_at IS NULL
        UNION ALL
        SELECT guest.id, guest.event_id, p.id, 'phone'
        FROM guest JOIN user_profiles p ON p.phone = guest.phone
        WHERE by_phone AND p.phone <> '' AND p.phone_verified AND p.is_active AND p.erased_at IS NULL
    ), person AS (  -- how many lines of the event's list each of them has, or fits
        SELECT one.event_id, one.person, (
            SELECT count(*) FROM (
                SELECT g.id FROM event_guests g
                WHERE g.user_id = p.id AND g.event_id + 0 = one.event_id AND g.removed_at IS NULL
                UNION
                SELECT g.id FROM event_guests g
                WHERE p.email_verified AND g.email = lower(p.email) AND g.user_id IS NULL
                    AND g.link_outcome IS DISTINCT FROM 'no_match'
                    AND g.event_id + 0 = one.event_id AND g.removed_at IS NULL
                UNION
                SELECT g.id FROM event_guests g
                WHERE by_phone AND p.phone_verified AND p.phone <> '' AND g.phone = p.phone AND g.user_id IS NULL
                    AND g.link_outcome IS DISTINCT FROM 'no_match'
                    AND g.event_id + 0 = one.event_id AND g.removed_at IS NULL
            ) AS line
        ) AS lines
        FROM (SELECT DISTINCT event_id, fits.person FROM fits) AS one JOIN user_profiles p ON p.id = one.person
    ), decided AS (
        SELECT fits.id, (array_agg(fits.person))[1] AS person, min(fits.method) AS method,
            count(DISTINCT fits.person) = 1 AND max(person.lines) = 1 AS clear
        FROM fits JOIN person ON person.event_id = fits.event_id AND person.person = fits.person
        GROUP BY fits.id
    ), written AS (
        UPDATE event_guests g SET
            user_id = CASE WHEN decided.clear THEN decided.person END,
            link_outcome = CASE WHEN decided.clear THEN 'linked' ELSE 'ambiguous' END,
            link_method = decided.method,
            linked_at = clock_timestamp(),
            linked_by_id = NULL
        FROM decided
        WHERE g.id = decided.id AND (decided.clear OR g.link_outcome IS DISTINCT FROM 'ambiguous')
        RETURNING decided.clear
    )
    SELECT count(*) FILTER (WHERE clear), count(*) FILTER (WHERE NOT clear) INTO linked, ambiguous FROM written;
END
$$;
"""

FUNCTIONS = (UUID7, SWITCH, LINK, MATCH)
"""What the migration creates. A change here needs a migration that runs it again (test_linking says so)."""

INSTALL = "\n".join(FUNCTIONS)
REMOVE = """
DROP FUNCTION IF EXISTS messaging_match_guests(uuid[]);
DROP FUNCTION IF EXISTS messaging_link(uuid, bigint, text);
DROP FUNCTION IF EXISTS messaging_switch(text, boolean);
DROP FUNCTION IF EXISTS messaging_uuid7();
"""
