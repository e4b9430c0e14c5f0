-- A position in the feed of bw_order_events that loses nothing.

-- Every event up to this one was handled, and none can appear below it.
CREATE TABLE feed_position (
    up_to bigint NOT NULL DEFAULT 0,
    next_up_to bigint NOT NULL DEFAULT 0,
    writers text[] NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX feed_position_one_row ON feed_position ((true));
COMMENT ON COLUMN feed_position.writers
IS 'who was writing events when next_up_to was the newest: may yet commit events below it';

-- What was handled beyond it.
CREATE TABLE feed_handled (event_id bigint PRIMARY KEY);

-- What this client does with an event: it keeps a copy.
CREATE TABLE order_log (
    event_id bigint NOT NULL,
    order_id bigint NOT NULL,
    at timestamptz NOT NULL,
    status text NOT NULL,
    detail text
);

INSERT INTO feed_position DEFAULT VALUES;

-- The next events, marked as handled: if the transaction commits, they are.
-- Clients that call it at the same time wait for one another.
CREATE FUNCTION feed_take(most integer DEFAULT 100) RETURNS SETOF bw_order_events
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM feed_position FOR UPDATE;
    RETURN QUERY
        WITH next AS (
            SELECT e.*
              FROM bw_order_events AS e, feed_position AS p
             WHERE e.id > p.up_to
               AND NOT EXISTS (SELECT FROM feed_handled AS h WHERE h.event_id = e.id)
             ORDER BY e.id
             LIMIT most),
        marked AS (INSERT INTO feed_handled SELECT n.id FROM next AS n)
        SELECT n.* FROM next AS n ORDER BY n.id;
END
$$;

-- Move up_to as far as is safe, and forget what lies below.  Call it when
-- feed_take() found nothing, in a transaction at READ COMMITTED: each statement
-- has to see what was committed before it.
CREATE FUNCTION feed_advance() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    feed feed_position;
BEGIN
    SELECT * INTO feed FROM feed_position FOR UPDATE;
    -- Whoever inserts has this lock from before it takes an id until its end; a
    -- prepared transaction has another name, so that we wait for all of these.
    IF EXISTS (SELECT FROM pg_locks AS l
                WHERE l.locktype = 'relation' AND l.relation = 'bw_order_events'::regclass
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND l.mode = 'RowExclusiveLock'
                  AND (l.virtualtransaction = ANY (feed.writers) OR l.virtualtransaction LIKE '-1/%')) THEN
        RETURN;
    END IF;
    -- They have ended: what they wrote is visible now, or never.
    IF EXISTS (SELECT FROM bw_order_events AS e
                WHERE e.id > feed.up_to AND e.id <= feed.next_up_to
                  AND NOT EXISTS (SELECT FROM feed_handled AS h WHERE h.event_id = e.id)) THEN
        RETURN;
    END IF;
    DELETE FROM feed_handled WHERE event_id <= feed.next_up_to;
    UPDATE feed_position
       SET up_to = feed.next_up_to,
           next_up_to = COALESCE((SELECT max(id) FROM bw_order_events), feed.next_up_to);
    -- In a statement of its own, after the newest id was read.
    UPDATE feed_position
       SET writers = ARRAY(SELECT l.virtualtransaction FROM pg_locks AS l
                            WHERE l.locktype = 'relation' AND l.relation = 'bw_order_events'::regclass
                              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                              AND l.mode = 'RowExclusiveLock');
END
$$;
