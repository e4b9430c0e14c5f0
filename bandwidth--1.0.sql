/* bandwidth--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION bandwidth" to load this file. \quit

--
-- Accounts: a server and a user mapping of a wrapper without handler
--

CREATE FUNCTION bw_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'bw_validator'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION bw_validator(text[], oid)
IS 'checks the options of a server and a user mapping';

CREATE FOREIGN DATA WRAPPER bandwidth
VALIDATOR bw_validator;
COMMENT ON FOREIGN DATA WRAPPER bandwidth
IS 'accounts of Bandwidth''s phone number API';

--
-- Number formats
--

CREATE FUNCTION bw_e164(telephone_number text)
RETURNS text
AS 'MODULE_PATHNAME', 'bw_e164'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_e164(text)
IS 'telephone number in E.164 form: +15405514342';

CREATE FUNCTION bw_ten_digits(telephone_number text)
RETURNS text
AS 'MODULE_PATHNAME', 'bw_ten_digits'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_ten_digits(text)
IS 'telephone number as the tables hold it: 5405514342';

--
-- Who this database is.  Not dumped: a restored copy gets an identity of its
-- own from this script, and the rows that came with the dump keep the other
-- one, so that they are never sent a second time.
--

CREATE FUNCTION bw_system_identifier()
RETURNS bigint
LANGUAGE SQL STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.system_identifier FROM pg_catalog.pg_control_system() AS s;
END;
REVOKE EXECUTE ON FUNCTION bw_system_identifier() FROM PUBLIC;
COMMENT ON FUNCTION bw_system_identifier()
IS 'internal: identifier of this cluster';

CREATE TABLE bw_identity (
    home uuid NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    instance text NOT NULL,
    timeline integer,
    requests_before bigint NOT NULL DEFAULT 0,
    pruned_before timestamptz NOT NULL DEFAULT '-infinity',
    taken_over_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT bw_identity_pkey PRIMARY KEY (home)
);
CREATE UNIQUE INDEX bw_identity_one_row ON bw_identity ((true));
COMMENT ON TABLE bw_identity
IS 'internal: the database that these orders belong to';
REVOKE ALL ON bw_identity FROM PUBLIC;

INSERT INTO bw_identity (home, system_identifier, database_oid, instance)
SELECT pg_catalog.gen_random_uuid(), bw_system_identifier(), d.oid,
       COALESCE(pg_catalog.current_setting('bandwidth.instance', true), '')
  FROM pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database();

--
-- States of orders.  A CHECK or a generated column is read anew for each
-- statement, and a list of words costs an INSERT more there than an index.
--

CREATE FUNCTION bw_is_order_status(status text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_is_order_status'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_is_order_status(text)
IS 'internal: is it a status of an order?';

CREATE FUNCTION bw_is_final_status(status text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_is_final_status'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_is_final_status(text)
IS 'internal: is it the last status that an order has?';

CREATE FUNCTION bw_is_number_status(status text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_is_number_status'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_is_number_status(text)
IS 'internal: is it a status of a number of an order?';

CREATE FUNCTION bw_is_order_kind(kind text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_is_order_kind'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bw_is_order_kind(text)
IS 'internal: is it a kind of order?';

--
-- Orders: what the application sees
--

CREATE TABLE bw_orders (
    id bigint GENERATED ALWAYS AS IDENTITY,
    home uuid NOT NULL,
    kind text NOT NULL,
    server name NOT NULL,
    account_id text NOT NULL,
    ordered_by name NOT NULL,
    status text NOT NULL,
    is_final boolean NOT NULL GENERATED ALWAYS AS (bw_is_final_status(status)) STORED,
    quantity integer NOT NULL,
    site_id text,
    peer_id text,
    name text,
    customer_order_id text,
    idempotency_key text,
    tag jsonb,
    criteria jsonb,
    partial_allowed boolean NOT NULL,
    back_order_requested boolean NOT NULL,
    direct boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 1,
    attempts_used integer NOT NULL DEFAULT 1,
    reservation_ids text[],
    for_table text,
    for_key jsonb,
    for_relation oid,
    retry_of bigint,
    request_id bigint,
    bandwidth_order_id text,
    bandwidth_status text,
    completed_quantity integer,
    failed_quantity integer,
    error_code text,
    error_text text,
    message text,
    summary text,
    warning text,
    attention text,
    write_back_error text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    sent_at timestamptz,
    received_at timestamptz,
    closed_at timestamptz,
    written_back_at timestamptz,
    CONSTRAINT bw_orders_pkey PRIMARY KEY (id),
    CONSTRAINT bw_orders_kind_check
        CHECK (bw_is_order_kind(kind)),
    CONSTRAINT bw_orders_status_check
        CHECK (bw_is_order_status(status)),
    CONSTRAINT bw_orders_quantity_check CHECK (quantity > 0)
) WITH (fillfactor = 70);
-- No index here may mention a column that changes: it would end HOT updates.
CREATE UNIQUE INDEX bw_orders_customer_order_id_key
    ON bw_orders (account_id, customer_order_id)
 WHERE customer_order_id IS NOT NULL;
CREATE UNIQUE INDEX bw_orders_idempotency_key_key
    ON bw_orders (server, ordered_by, idempotency_key)
 WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX bw_orders_retry_of_key ON bw_orders (retry_of)
 WHERE retry_of IS NOT NULL;
COMMENT ON TABLE bw_orders
IS 'one row per thing that was asked of Bandwidth: written by bw_order(), moved by the worker';
COMMENT ON COLUMN bw_orders.home
IS 'the database that inserted the row: only that one sends it';
COMMENT ON COLUMN bw_orders.status
IS 'QUEUED, HELD, SENDING, UNKNOWN, RECEIVED, BACKORDERED; final: COMPLETE, PARTIAL, FAILED, REJECTED, CANCELLED';
COMMENT ON COLUMN bw_orders.customer_order_id
IS 'the user''s own CustomerOrderId, if one was given';
COMMENT ON COLUMN bw_orders.bandwidth_status
IS 'Bandwidth''s word for the state, as it came';
COMMENT ON COLUMN bw_orders.attempts_used
IS 'which of its attempts this is: each after the first one has other numbers for those that were taken';
COMMENT ON COLUMN bw_orders.attention
IS 'why a person has to decide (bw_resolve, bw_adopt)';
COMMENT ON COLUMN bw_orders.for_table
IS 'the table of the row that the order was made for, by bw_provision()';
COMMENT ON COLUMN bw_orders.for_key
IS 'the primary key of that row';
COMMENT ON COLUMN bw_orders.for_relation
IS 'internal: the oid that that table has in the database of home';
COMMENT ON COLUMN bw_orders.written_back_at
IS 'when the outcome was written into that row';
COMMENT ON COLUMN bw_orders.write_back_error
IS 'why it could not be, or not yet';

CREATE TABLE bw_order_numbers (
    order_id bigint NOT NULL,
    telephone_number text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    error_code text,
    error_text text,
    attempt integer NOT NULL DEFAULT 1,
    replaces text,
    CONSTRAINT bw_order_numbers_pkey PRIMARY KEY (order_id, telephone_number),
    CONSTRAINT bw_order_numbers_order_id_fkey FOREIGN KEY (order_id)
        REFERENCES bw_orders (id) ON DELETE CASCADE,
    CONSTRAINT bw_order_numbers_status_check
        CHECK (bw_is_number_status(status))
) WITH (fillfactor = 80);
CREATE INDEX bw_order_numbers_telephone_number_idx
    ON bw_order_numbers (telephone_number);
COMMENT ON TABLE bw_order_numbers
IS 'the telephone numbers of each order, ten digits, with the outcome of each';
COMMENT ON COLUMN bw_order_numbers.attempt
IS 'the latest attempt of the order in which the number was ordered';
COMMENT ON COLUMN bw_order_numbers.replaces
IS 'the number that was wanted first, and was taken';

CREATE TABLE bw_order_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    order_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    status text NOT NULL,
    source text NOT NULL,
    detail text,
    CONSTRAINT bw_order_events_pkey PRIMARY KEY (id),
    CONSTRAINT bw_order_events_source_check
        CHECK (source IN ('user', 'worker', 'reply', 'callback', 'poll', 'look-up'))
);
CREATE INDEX bw_order_events_order_id_idx ON bw_order_events (order_id);
COMMENT ON TABLE bw_order_events
IS 'one row per change of an order after its insert: audit trail and durable feed';

--
-- Requests: one row per intended POST.  What was promised to Bandwidth
-- (members, account, CustomerOrderId) never changes.
--

CREATE TABLE bw_requests (
    id bigint GENERATED ALWAYS AS IDENTITY,
    home uuid NOT NULL,
    kind text NOT NULL,
    server name NOT NULL,
    account_id text NOT NULL,
    ordered_by name NOT NULL,
    customer_order_id text NOT NULL,
    members bigint[] NOT NULL,
    quantity integer NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'new',
    attempts integer NOT NULL DEFAULT 0,
    bandwidth_order_id text,
    other_order_ids text[],
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    first_sent_at timestamptz,
    last_sent_at timestamptz,
    closed_at timestamptz,
    CONSTRAINT bw_requests_pkey PRIMARY KEY (id),
    CONSTRAINT bw_requests_kind_check
        CHECK (kind IN ('explicit', 'direct', 'disconnect')),
    CONSTRAINT bw_requests_state_check
        CHECK (state IN ('new', 'sending', 'unknown', 'open', 'closed'))
) WITH (fillfactor = 80);
-- Ids are compared byte by byte, which the database's collation may not do.
CREATE UNIQUE INDEX bw_requests_customer_order_id_key
    ON bw_requests (customer_order_id COLLATE "C", account_id, id);
CREATE INDEX bw_requests_bandwidth_order_id_idx
    ON bw_requests (bandwidth_order_id COLLATE "C")
 WHERE bandwidth_order_id IS NOT NULL;
COMMENT ON TABLE bw_requests
IS 'one row per intended POST: which orders it carries and how it went';
COMMENT ON COLUMN bw_requests.other_order_ids
IS 'orders at Bandwidth beside bandwidth_order_id: copies of a request that was sent again';

--
-- Work lists: narrow rows that go when the work is done
--

CREATE TABLE bw_queue (
    server text COLLATE "C" NOT NULL,
    ordered_by text COLLATE "C" NOT NULL,
    order_id bigint NOT NULL,
    request_id bigint,
    quantity integer NOT NULL,
    due_at timestamptz NOT NULL DEFAULT '-infinity',
    approved boolean NOT NULL DEFAULT false,
    claimed boolean NOT NULL DEFAULT false,
    search boolean NOT NULL DEFAULT false,
    criteria jsonb,
    waits_for bigint,
    CONSTRAINT bw_queue_pkey PRIMARY KEY (server, ordered_by, order_id)
);
CREATE INDEX bw_queue_waits_for_idx ON bw_queue (waits_for)
 WHERE waits_for IS NOT NULL;
COMMENT ON TABLE bw_queue
IS 'internal: orders that wait to be sent';
REVOKE ALL ON bw_queue FROM PUBLIC;

CREATE TABLE bw_searches (
    order_id bigint NOT NULL,
    place text NOT NULL DEFAULT '',
    server text COLLATE "C" NOT NULL,
    ordered_by text COLLATE "C" NOT NULL,
    criteria jsonb,
    quantity integer NOT NULL,
    replaces text[],
    asks text[] NOT NULL DEFAULT '{}',
    CONSTRAINT bw_searches_pkey PRIMARY KEY (order_id, place)
);
COMMENT ON TABLE bw_searches
IS 'internal: telephone numbers that are to be found for orders';
COMMENT ON COLUMN bw_searches.asks
IS 'numbers of which is asked first whether the account has them already';
REVOKE ALL ON bw_searches FROM PUBLIC;

CREATE TABLE bw_held (
    order_id bigint NOT NULL,
    server text COLLATE "C" NOT NULL,
    ordered_by text COLLATE "C" NOT NULL,
    quantity integer NOT NULL,
    reason text NOT NULL,
    due_at timestamptz,
    approved boolean NOT NULL DEFAULT false,
    CONSTRAINT bw_held_pkey PRIMARY KEY (order_id),
    CONSTRAINT bw_held_reason_check
        CHECK (reason IN ('approval', 'day limit', 'disconnects per day', 'release_after')),
    CONSTRAINT bw_held_due_at_check
        CHECK ((reason = 'release_after') = (due_at IS NOT NULL))
);
COMMENT ON TABLE bw_held
IS 'internal: orders that wait for bw_approve(), for room under a limit, or for their time';
REVOKE ALL ON bw_held FROM PUBLIC;

CREATE INDEX bw_held_limit_idx ON bw_held (server, reason, order_id)
 WHERE reason IN ('day limit', 'disconnects per day');
CREATE INDEX bw_held_due_at_idx ON bw_held (due_at)
 WHERE due_at IS NOT NULL;

CREATE TABLE bw_spending (
    server text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    minute timestamptz NOT NULL,
    numbers integer NOT NULL,
    CONSTRAINT bw_spending_pkey PRIMARY KEY (server, kind, minute)
);
COMMENT ON TABLE bw_spending
IS 'internal: telephone numbers that were ordered and disconnected in each minute of the last day';
REVOKE ALL ON bw_spending FROM PUBLIC;

CREATE TABLE bw_doubts (
    server text COLLATE "C" NOT NULL,
    ordered_by text COLLATE "C" NOT NULL,
    up_to bigint NOT NULL,
    since timestamptz NOT NULL,
    due_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    tries integer NOT NULL DEFAULT 0,
    CONSTRAINT bw_doubts_pkey PRIMARY KEY (server, ordered_by)
);
COMMENT ON TABLE bw_doubts
IS 'internal: unsent orders up to this one may have been sent before a failover or by another copy';
REVOKE ALL ON bw_doubts FROM PUBLIC;

CREATE TABLE bw_lost_orders (
    account_id text NOT NULL,
    bandwidth_order_id text NOT NULL,
    home uuid NOT NULL,
    kind text NOT NULL,
    server name NOT NULL,
    customer_order_id text NOT NULL,
    bandwidth_status text,
    telephone_numbers text[] NOT NULL,
    created_at timestamptz,
    found_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT bw_lost_orders_pkey PRIMARY KEY (account_id, bandwidth_order_id),
    CONSTRAINT bw_lost_orders_kind_check
        CHECK (kind IN ('order', 'disconnect'))
);
COMMENT ON TABLE bw_lost_orders
IS 'orders at Bandwidth whose rows were lost with another timeline of this database; delete a row when you have dealt with it';
COMMENT ON COLUMN bw_lost_orders.bandwidth_status
IS 'Bandwidth''s word for the state, when it was found';
COMMENT ON COLUMN bw_lost_orders.telephone_numbers
IS 'what it asks for, ten digits, without those that an order here has';
-- Whose they were is lost, too: who may read them is the DBA's choice.
REVOKE ALL ON bw_lost_orders FROM PUBLIC;

CREATE TABLE bw_pauses (
    server text COLLATE "C" NOT NULL,
    ordered_by text COLLATE "C" NOT NULL,
    automatic boolean NOT NULL,
    reason text NOT NULL,
    error_code text,
    paused_by name,
    since timestamptz NOT NULL DEFAULT pg_catalog.now(),
    fingerprint text,
    CONSTRAINT bw_pauses_pkey PRIMARY KEY (server, ordered_by, automatic)
);
COMMENT ON TABLE bw_pauses
IS 'internal: servers, and roles on them, whose orders are not sent for now';
REVOKE ALL ON bw_pauses FROM PUBLIC;

CREATE TABLE bw_open_requests (
    request_id bigint NOT NULL,
    server text COLLATE "C" NOT NULL,
    step text NOT NULL,
    due_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    candidates text[] NOT NULL DEFAULT '{}',
    checked_numbers text[] NOT NULL DEFAULT '{}',
    refused_code text,
    refused_text text,
    adopting text,
    CONSTRAINT bw_open_requests_pkey PRIMARY KEY (request_id),
    CONSTRAINT bw_open_requests_step_check
        CHECK (step IN ('sent', 'look_up', 'resend', 'poll', 'detail', 'lost', 'close'))
) WITH (fillfactor = 70);
CREATE INDEX bw_open_requests_due_at_idx ON bw_open_requests (due_at);
-- An order at Bandwidth is one request's, also where two sessions name it.
CREATE UNIQUE INDEX bw_open_requests_adopting_key ON bw_open_requests (adopting)
 WHERE adopting IS NOT NULL;
COMMENT ON TABLE bw_open_requests
IS 'internal: requests that are under way, and when to look at each again';
REVOKE ALL ON bw_open_requests FROM PUBLIC;

CREATE TABLE bw_provisions (
    order_id bigint NOT NULL,
    relation oid NOT NULL,
    key text NOT NULL,
    key_columns smallint[] NOT NULL,
    key_values text[] NOT NULL,
    number_column smallint NOT NULL,
    status_column smallint NOT NULL,
    error_column smallint NOT NULL,
    e164 boolean NOT NULL,
    number_before text,
    due_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    held_up boolean NOT NULL DEFAULT false,
    CONSTRAINT bw_provisions_pkey PRIMARY KEY (order_id),
    CONSTRAINT bw_provisions_row_key UNIQUE (relation, key, number_column)
);
CREATE INDEX bw_provisions_due_at_idx ON bw_provisions (due_at)
 WHERE due_at IS NOT NULL;
CREATE INDEX bw_provisions_held_up_idx ON bw_provisions (relation)
 WHERE held_up;
COMMENT ON TABLE bw_provisions
IS 'internal: rows of users'' tables that wait for a number; due once their order is final';
REVOKE ALL ON bw_provisions FROM PUBLIC;

--
-- Callbacks
--

CREATE TABLE bw_notifications (
    id bigint GENERATED ALWAYS AS IDENTITY,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    subscription_id bigint,
    path text,
    peer text,
    content_type text,
    user_agent text,
    body bytea NOT NULL,
    outcome text NOT NULL DEFAULT 'stored',
    note text,
    bandwidth_order_id text,
    customer_order_id text,
    bandwidth_status text,
    request_id bigint,
    applied_at timestamptz,
    CONSTRAINT bw_notifications_pkey PRIMARY KEY (id)
) WITH (fillfactor = 80);
COMMENT ON TABLE bw_notifications
IS 'callbacks as they came, and what became of each';

CREATE TABLE bw_inbox (
    notification_id bigint NOT NULL,
    due_at timestamptz NOT NULL DEFAULT '-infinity',
    tries integer NOT NULL DEFAULT 0,
    CONSTRAINT bw_inbox_pkey PRIMARY KEY (notification_id)
);
COMMENT ON TABLE bw_inbox
IS 'internal: notifications that are stored but not yet applied';
REVOKE ALL ON bw_inbox FROM PUBLIC;

--
-- Subscriptions: desired state, made true by the worker after commit
--

CREATE TABLE bw_subscriptions (
    id bigint GENERATED ALWAYS AS IDENTITY,
    home uuid NOT NULL,
    server name NOT NULL,
    account_id text NOT NULL,
    subscribed_by name NOT NULL,
    order_type text,
    event_type text,
    bandwidth_order_id text,
    url text,
    email text,
    digest text,
    expiry bigint,
    number_format text,
    public_key text,
    pinned boolean NOT NULL DEFAULT false,
    credentials text NOT NULL,
    kept boolean NOT NULL DEFAULT false,
    wanted boolean NOT NULL DEFAULT true,
    state text NOT NULL DEFAULT 'QUEUED',
    bandwidth_subscription_id text,
    bandwidth_status text,
    username text,
    error_code text,
    error_text text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    checked_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT bw_subscriptions_pkey PRIMARY KEY (id),
    CONSTRAINT bw_subscriptions_target_check
        CHECK ((url IS NULL) <> (email IS NULL)),
    CONSTRAINT bw_subscriptions_type_check
        CHECK ((order_type IS NULL) <> (event_type IS NULL)),
    CONSTRAINT bw_subscriptions_credentials_check
        CHECK (credentials IN ('generated', 'mapping', 'none')),
    CONSTRAINT bw_subscriptions_state_check
        CHECK (state IN ('QUEUED', 'ACTIVE', 'FAILED', 'CONTESTED', 'REMOVED'))
);
CREATE UNIQUE INDEX bw_subscriptions_kept_key
    ON bw_subscriptions (home, server, order_type)
 WHERE kept AND wanted;
-- While a dump is being restored, the worker may make a subscription before the
-- rows of the dump come with their ids: each database begins elsewhere.
SELECT pg_catalog.setval('bw_subscriptions_id_seq', (1 + 1000000000 * pg_catalog.random())::bigint);
COMMENT ON TABLE bw_subscriptions
IS 'subscriptions that this database wants at Bandwidth, and how each stands';
COMMENT ON COLUMN bw_subscriptions.pinned
IS 'public_key is the certificate that this database shows, also when that is renewed';
COMMENT ON COLUMN bw_subscriptions.kept
IS 'the worker keeps it, because the server has the option callback_url';
COMMENT ON COLUMN bw_subscriptions.state
IS 'QUEUED, ACTIVE, FAILED, REMOVED; CONTESTED: somebody else keeps a subscription on the same URL';
COMMENT ON COLUMN bw_subscriptions.bandwidth_status
IS 'what became of the last callback, in Bandwidth''s words, when the worker looked';

CREATE TABLE bw_subscription_work (
    subscription_id bigint NOT NULL,
    due_at timestamptz NOT NULL DEFAULT '-infinity',
    tries integer NOT NULL DEFAULT 0,
    rotate boolean NOT NULL DEFAULT false,
    stranger_at timestamptz,
    version text,
    CONSTRAINT bw_subscription_work_pkey PRIMARY KEY (subscription_id)
);
COMMENT ON TABLE bw_subscription_work
IS 'internal: subscriptions that the worker has to look at, and when';
REVOKE ALL ON bw_subscription_work FROM PUBLIC;

CREATE TABLE bw_callback_keys (
    id bigint GENERATED ALWAYS AS IDENTITY,
    subscription_id bigint NOT NULL,
    path text NOT NULL,
    username text,
    salt bytea,
    hash bytea,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    retire_at timestamptz,
    CONSTRAINT bw_callback_keys_pkey PRIMARY KEY (id),
    CONSTRAINT bw_callback_keys_subscription_id_fkey FOREIGN KEY (subscription_id)
        REFERENCES bw_subscriptions (id) ON DELETE CASCADE
);
COMMENT ON TABLE bw_callback_keys
IS 'internal: salted hashes of the credentials that callbacks come with';
REVOKE ALL ON bw_callback_keys FROM PUBLIC;

--
-- Row security: a role sees the orders of the roles whose rights it has.
-- Names, not oids: a dropped role breaks no read.
--

ALTER TABLE bw_orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY bw_orders_own ON bw_orders FOR SELECT
 USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                 WHERE r.rolname = ordered_by
                   AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
GRANT SELECT ON bw_orders TO PUBLIC;

ALTER TABLE bw_order_numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY bw_order_numbers_own ON bw_order_numbers FOR SELECT
 USING (EXISTS (SELECT FROM bw_orders AS o WHERE o.id = order_id));
GRANT SELECT ON bw_order_numbers TO PUBLIC;

ALTER TABLE bw_order_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY bw_order_events_own ON bw_order_events FOR SELECT
 USING (EXISTS (SELECT FROM bw_orders AS o WHERE o.id = order_id));
GRANT SELECT ON bw_order_events TO PUBLIC;

ALTER TABLE bw_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY bw_requests_own ON bw_requests FOR SELECT
 USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                 WHERE r.rolname = ordered_by
                   AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
GRANT SELECT ON bw_requests TO PUBLIC;

ALTER TABLE bw_subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY bw_subscriptions_own ON bw_subscriptions FOR SELECT
 USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                 WHERE r.rolname = subscribed_by
                   AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
GRANT SELECT ON bw_subscriptions TO PUBLIC;

-- Callbacks tell of every order of the account, also of those made elsewhere.
ALTER TABLE bw_notifications ENABLE ROW LEVEL SECURITY;

SELECT pg_catalog.pg_extension_config_dump('bw_orders', '');
SELECT pg_catalog.pg_extension_config_dump('bw_orders_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('bw_order_numbers', '');
SELECT pg_catalog.pg_extension_config_dump('bw_order_events', '');
SELECT pg_catalog.pg_extension_config_dump('bw_order_events_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('bw_requests', '');
SELECT pg_catalog.pg_extension_config_dump('bw_requests_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('bw_lost_orders', '');
SELECT pg_catalog.pg_extension_config_dump('bw_notifications', '');
SELECT pg_catalog.pg_extension_config_dump('bw_notifications_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('bw_subscriptions', '');
SELECT pg_catalog.pg_extension_config_dump('bw_subscriptions_id_seq', '');

--
-- Searching
--

CREATE FUNCTION bw_search(
    npanxx text DEFAULT NULL,
    quantity integer DEFAULT 20,
    area_code text DEFAULT NULL,
    npanxxx text DEFAULT NULL,
    rate_center text DEFAULT NULL,
    city text DEFAULT NULL,
    state text DEFAULT NULL,
    zip text DEFAULT NULL,
    lata text DEFAULT NULL,
    local_vanity text DEFAULT NULL,
    ends_in boolean DEFAULT NULL,
    toll_free_vanity text DEFAULT NULL,
    toll_free_wildcard_pattern text DEFAULT NULL,
    lca boolean DEFAULT NULL,
    order_by text DEFAULT NULL,
    protected text DEFAULT NULL,
    detail boolean DEFAULT true,
    server text DEFAULT NULL)
RETURNS TABLE (
    telephone_number text,
    city text,
    state text,
    rate_center text,
    lata text,
    tier integer,
    vendor_id integer,
    vendor_name text)
AS 'MODULE_PATHNAME', 'bw_search'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 20;
COMMENT ON FUNCTION bw_search(text, integer, text, text, text, text, text, text,
    text, text, boolean, text, text, boolean, text, text, boolean, text)
IS 'asks Bandwidth which telephone numbers are available';

--
-- Ordering.  EXECUTE is PUBLIC's: USAGE on the server is the gate.
--

CREATE FUNCTION bw_order(
    telephone_numbers text[],
    site_id text DEFAULT NULL,
    peer_id text DEFAULT NULL,
    name text DEFAULT NULL,
    customer_order_id text DEFAULT NULL,
    partial_allowed boolean DEFAULT false,
    back_order_requested boolean DEFAULT false,
    reservation_ids text[] DEFAULT NULL,
    attempts integer DEFAULT 1,
    idempotency_key text DEFAULT NULL,
    tag jsonb DEFAULT NULL,
    server text DEFAULT NULL)
RETURNS TABLE (id bigint, telephone_number text, status text)
AS 'MODULE_PATHNAME', 'bw_order'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION bw_order(text[], text, text, text, text, boolean, boolean,
    text[], integer, text, jsonb, text)
IS 'orders telephone numbers when this transaction commits';

CREATE FUNCTION bw_order_search(
    quantity integer DEFAULT 1,
    npanxx text DEFAULT NULL,
    area_code text DEFAULT NULL,
    npanxxx text DEFAULT NULL,
    rate_center text DEFAULT NULL,
    city text DEFAULT NULL,
    state text DEFAULT NULL,
    zip text DEFAULT NULL,
    lata text DEFAULT NULL,
    local_vanity text DEFAULT NULL,
    ends_in boolean DEFAULT NULL,
    toll_free_vanity text DEFAULT NULL,
    toll_free_wildcard_pattern text DEFAULT NULL,
    lca boolean DEFAULT false,
    order_by text DEFAULT NULL,
    protected text DEFAULT NULL,
    max_tier integer DEFAULT NULL,
    direct boolean DEFAULT false,
    site_id text DEFAULT NULL,
    peer_id text DEFAULT NULL,
    name text DEFAULT NULL,
    customer_order_id text DEFAULT NULL,
    partial_allowed boolean DEFAULT false,
    back_order_requested boolean DEFAULT false,
    attempts integer DEFAULT 1,
    idempotency_key text DEFAULT NULL,
    tag jsonb DEFAULT NULL,
    server text DEFAULT NULL)
RETURNS TABLE (id bigint, telephone_number text, status text)
AS 'MODULE_PATHNAME', 'bw_order_search'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION bw_order_search(integer, text, text, text, text, text, text,
    text, text, text, boolean, text, text, boolean, text, text, integer, boolean,
    text, text, text, text, boolean, boolean, integer, text, jsonb, text)
IS 'orders telephone numbers by criteria when this transaction commits';

CREATE FUNCTION bw_disconnect(
    telephone_numbers text[],
    customer_order_id text DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    tag jsonb DEFAULT NULL,
    server text DEFAULT NULL)
RETURNS TABLE (id bigint, telephone_number text, status text)
AS 'MODULE_PATHNAME', 'bw_disconnect'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION bw_disconnect(text[], text, text, jsonb, text)
IS 'gives telephone numbers back, a while after this transaction commits';
-- A number that is lost may be a customer's: who may do that is the DBA's choice.
REVOKE EXECUTE ON FUNCTION bw_disconnect(text[], text, text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION bw_cancel(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_cancel'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_cancel(bigint)
IS 'takes back an order that was never claimed for sending; false: too late';

CREATE FUNCTION bw_retry(id bigint)
RETURNS TABLE (id bigint, telephone_number text, status text)
AS 'MODULE_PATHNAME', 'bw_retry'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION bw_retry(bigint)
IS 'orders once more what an order did not get, when this transaction commits';

CREATE FUNCTION bw_wait(id bigint, timeout interval DEFAULT '30 s')
RETURNS text
AS 'MODULE_PATHNAME', 'bw_wait'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION bw_wait(bigint, interval)
IS 'waits until an order is final, or for the given time, and returns its status';

CREATE FUNCTION bw_wait(ids bigint[], timeout interval DEFAULT '30 s')
RETURNS TABLE (id bigint, status text)
AS 'MODULE_PATHNAME', 'bw_wait_many'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION bw_wait(bigint[], interval)
IS 'waits until all of the orders are final, or for the given time';

CREATE PROCEDURE bw_order_and_wait(
    telephone_numbers text[],
    site_id text DEFAULT NULL,
    peer_id text DEFAULT NULL,
    name text DEFAULT NULL,
    customer_order_id text DEFAULT NULL,
    partial_allowed boolean DEFAULT false,
    back_order_requested boolean DEFAULT false,
    reservation_ids text[] DEFAULT NULL,
    attempts integer DEFAULT 1,
    idempotency_key text DEFAULT NULL,
    tag jsonb DEFAULT NULL,
    server text DEFAULT NULL,
    timeout interval DEFAULT '30 s',
    INOUT id bigint DEFAULT NULL,
    INOUT status text DEFAULT NULL)
AS 'MODULE_PATHNAME', 'bw_order_and_wait'
LANGUAGE C;
COMMENT ON PROCEDURE bw_order_and_wait(text[], text, text, text, text, boolean,
    boolean, text[], integer, text, jsonb, text, interval, bigint, text)
IS 'orders telephone numbers, commits, and waits until the order is final';

CREATE FUNCTION bw_fetch_order(id bigint)
RETURNS TABLE (
    bandwidth_order_id text,
    status text,
    customer_order_id text,
    name text,
    site_id text,
    peer_id text,
    completed_quantity bigint,
    failed_quantity bigint,
    completed_numbers text[],
    failed_numbers text[],
    error_code text,
    error_text text,
    summary text,
    created text,
    completed text)
AS 'MODULE_PATHNAME', 'bw_fetch_order'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000 ROWS 1;
COMMENT ON FUNCTION bw_fetch_order(bigint)
IS 'asks Bandwidth for an order now and shows what it says; changes nothing';

CREATE FUNCTION bw_recheck(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_recheck'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_recheck(bigint)
IS 'has the worker ask Bandwidth for an order at once; false: nothing to ask';

CREATE FUNCTION bw_close_order(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_close_order'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_close_order(bigint)
IS 'has Bandwidth end a back order with what it has; false: it is no open back order';

CREATE FUNCTION bw_receive(notification text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'bw_receive'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_receive(text)
IS 'takes in a callback that was received elsewhere; the worker confirms it by asking Bandwidth';
-- It writes into the shared inbox: who may receive is the DBA's choice.
REVOKE EXECUTE ON FUNCTION bw_receive(text) FROM PUBLIC;

--
-- Numbers for the rows of users' tables
--

CREATE FUNCTION bw_provision()
RETURNS trigger
AS 'MODULE_PATHNAME', 'bw_provision'
LANGUAGE C;
COMMENT ON FUNCTION bw_provision()
IS 'trigger: orders a telephone number for each inserted row, and writes the outcome into it';

CREATE FUNCTION bw_order_ended()
RETURNS trigger
AS 'MODULE_PATHNAME', 'bw_order_ended'
LANGUAGE C;
COMMENT ON FUNCTION bw_order_ended()
IS 'internal: the outcome of an order is to be written into the row that it was for';
REVOKE EXECUTE ON FUNCTION bw_order_ended() FROM PUBLIC;

CREATE TRIGGER bw_order_ended AFTER UPDATE ON bw_orders
    FOR EACH ROW WHEN (NEW.for_table IS NOT NULL AND NEW.is_final AND NOT OLD.is_final)
    EXECUTE FUNCTION bw_order_ended();
-- A trigger with bw_provision() may be one, on a logical subscriber for example.
ALTER TABLE bw_orders ENABLE ALWAYS TRIGGER bw_order_ended;

CREATE FUNCTION bw_test_outcome(id bigint, status text DEFAULT 'COMPLETE', error_code text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'bw_test_outcome'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_test_outcome(bigint, text, text)
IS 'plays the outcome of an order that waits, inside this transaction; for tests, with servers on loopback';

--
-- Operators' levers: not for everybody
--

CREATE FUNCTION bw_pause(server text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'bw_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_pause(text, text)
IS 'sends no more orders of a server until bw_resume()';
REVOKE EXECUTE ON FUNCTION bw_pause(text, text) FROM PUBLIC;

CREATE FUNCTION bw_resume(server text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_resume(text)
IS 'ends all pauses of a server; false: there was none';
REVOKE EXECUTE ON FUNCTION bw_resume(text) FROM PUBLIC;

CREATE FUNCTION bw_approve(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_approve'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_approve(bigint)
IS 'lets an order go out that waits for approval; false: it does not wait';
REVOKE EXECUTE ON FUNCTION bw_approve(bigint) FROM PUBLIC;

CREATE FUNCTION bw_resolve(id bigint, action text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_resolve'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_resolve(bigint, text)
IS 'decides about an order of unknown outcome: "resend" or "failed"';
REVOKE EXECUTE ON FUNCTION bw_resolve(bigint, text) FROM PUBLIC;

CREATE FUNCTION bw_adopt(id bigint, bandwidth_order_id text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_adopt'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_adopt(bigint, text)
IS 'says which order at Bandwidth an order of unknown outcome is';
REVOKE EXECUTE ON FUNCTION bw_adopt(bigint, text) FROM PUBLIC;

CREATE FUNCTION bw_take_over(queued text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_take_over'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_take_over(text)
IS 'makes a copy of a database the one that orders; queued orders: "look_up" or "discard"';
REVOKE EXECUTE ON FUNCTION bw_take_over(text) FROM PUBLIC;

CREATE PROCEDURE bw_prune(
    before timestamptz,
    INOUT orders bigint DEFAULT NULL,
    INOUT requests bigint DEFAULT NULL,
    INOUT notifications bigint DEFAULT NULL)
AS 'MODULE_PATHNAME', 'bw_prune'
LANGUAGE C;
COMMENT ON PROCEDURE bw_prune(timestamptz, bigint, bigint, bigint)
IS 'deletes orders that were final before then, with all that belongs to them, and says how many; commits after each batch';
-- What it deletes nobody can bring back.
REVOKE EXECUTE ON PROCEDURE bw_prune(timestamptz, bigint, bigint, bigint) FROM PUBLIC;

--
-- Subscriptions
--

CREATE FUNCTION bw_subscribe(
    url text DEFAULT NULL,
    order_type text DEFAULT NULL,
    expiry bigint DEFAULT 3153600000,
    credentials boolean DEFAULT true,
    public_key text DEFAULT NULL,
    number_format text DEFAULT NULL,
    email text DEFAULT NULL,
    digest text DEFAULT NULL,
    event_type text DEFAULT NULL,
    bandwidth_order_id text DEFAULT NULL,
    pin boolean DEFAULT false,
    server text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'bw_subscribe'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_subscribe(text, text, bigint, boolean, text, text, text,
    text, text, text, boolean, text)
IS 'asks Bandwidth to report changes of orders, once this transaction commits';
-- A subscription concerns the whole account.
REVOKE EXECUTE ON FUNCTION bw_subscribe(text, text, bigint, boolean, text, text,
    text, text, text, text, boolean, text) FROM PUBLIC;

CREATE FUNCTION bw_unsubscribe(id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_unsubscribe'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_unsubscribe(bigint)
IS 'ends a subscription that bw_subscribe() made, once this transaction commits';
REVOKE EXECUTE ON FUNCTION bw_unsubscribe(bigint) FROM PUBLIC;

CREATE FUNCTION bw_rotate_callback_credentials(server text DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'bw_rotate_callback_credentials'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_rotate_callback_credentials(text)
IS 'gives Bandwidth fresh credentials for callbacks, once this transaction commits; returns for how many subscriptions';
-- A subscription concerns the whole account.
REVOKE EXECUTE ON FUNCTION bw_rotate_callback_credentials(text) FROM PUBLIC;

CREATE FUNCTION bw_list_subscriptions(server text DEFAULT NULL)
RETURNS TABLE (
    bandwidth_subscription_id text,
    order_type text,
    event_type text,
    bandwidth_order_id text,
    url text,
    email text,
    expiry bigint,
    status text,
    username text,
    number_format text)
AS 'MODULE_PATHNAME', 'bw_list_subscriptions'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION bw_list_subscriptions(text)
IS 'asks Bandwidth for the subscriptions of the account';

--
-- What the account has.  EXECUTE is PUBLIC's: USAGE on the server is the gate.
--

CREATE FUNCTION bw_numbers(
    area_code text DEFAULT NULL,
    npanxx text DEFAULT NULL,
    lata text DEFAULT NULL,
    state text DEFAULT NULL,
    rate_center text DEFAULT NULL,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL,
    site_id text DEFAULT NULL,
    server text DEFAULT NULL)
RETURNS TABLE (telephone_number text)
AS 'MODULE_PATHNAME', 'bw_numbers'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION bw_numbers(text, text, text, text, text, date, date, text, text)
IS 'asks Bandwidth which telephone numbers of the account are in service';

CREATE FUNCTION bw_number(telephone_number text, server text DEFAULT NULL)
RETURNS TABLE (
    telephone_number text,
    status text,
    account_id text,
    site_id text,
    peer_id text,
    bandwidth_order_id text,
    order_type text,
    ordered_at timestamptz,
    in_service_at timestamptz,
    modified_at timestamptz,
    city text,
    state text,
    rate_center text,
    lata text,
    tier integer,
    vendor_id integer,
    vendor_name text)
AS 'MODULE_PATHNAME', 'bw_number'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1;
COMMENT ON FUNCTION bw_number(text, text)
IS 'asks Bandwidth about a telephone number of the account; no row if it is not one';

CREATE FUNCTION bw_sites(server text DEFAULT NULL)
RETURNS TABLE (site_id text, name text, description text)
AS 'MODULE_PATHNAME', 'bw_sites'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION bw_sites(text)
IS 'asks Bandwidth for the sites (sub-accounts) of the account';

CREATE FUNCTION bw_sip_peers(site_id text DEFAULT NULL, server text DEFAULT NULL)
RETURNS TABLE (peer_id text, name text, description text, is_default boolean)
AS 'MODULE_PATHNAME', 'bw_sip_peers'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION bw_sip_peers(text, text)
IS 'asks Bandwidth for the SIP peers (locations) of a site';

CREATE FUNCTION bw_available_npanxx(
    area_code text DEFAULT NULL,
    state text DEFAULT NULL,
    quantity integer DEFAULT NULL,
    server text DEFAULT NULL)
RETURNS TABLE (npanxx text, city text, state text, quantity integer)
AS 'MODULE_PATHNAME', 'bw_available_npanxx'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 100;
COMMENT ON FUNCTION bw_available_npanxx(text, text, integer, text)
IS 'asks Bandwidth which exchanges have telephone numbers to be had';

CREATE FUNCTION bw_list_orders(
    customer_order_id text DEFAULT NULL,
    status text DEFAULT NULL,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL,
    user_id text DEFAULT NULL,
    kind text DEFAULT 'order',
    server text DEFAULT NULL)
RETURNS TABLE (
    bandwidth_order_id text,
    customer_order_id text,
    status text,
    order_type text,
    quantity integer,
    user_id text,
    ordered_at timestamptz,
    modified_at timestamptz,
    summary text)
AS 'MODULE_PATHNAME', 'bw_list_orders'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION bw_list_orders(text, text, date, date, text, text, text)
IS 'asks Bandwidth for the orders or disconnects of the account, whoever made them';

CREATE FUNCTION bw_order_history(id bigint)
RETURNS TABLE (at timestamptz, status text, author text, note text, difference text)
AS 'MODULE_PATHNAME', 'bw_order_history'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000 ROWS 5;
COMMENT ON FUNCTION bw_order_history(bigint)
IS 'asks Bandwidth what happened to an order';

--
-- Reservations: the only functions that change something at Bandwidth at once,
-- whatever becomes of the transaction.  They lapse by themselves.
--

CREATE FUNCTION bw_reserve(telephone_number text, server text DEFAULT NULL)
RETURNS TABLE (reservation_id text, telephone_number text, expires_at timestamptz)
AS 'MODULE_PATHNAME', 'bw_reserve'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1;
COMMENT ON FUNCTION bw_reserve(text, text)
IS 'has Bandwidth keep a telephone number for a few hours, at once and without the transaction';

CREATE FUNCTION bw_reservation(reservation_id text, server text DEFAULT NULL)
RETURNS TABLE (reservation_id text, telephone_number text, expires_at timestamptz)
AS 'MODULE_PATHNAME', 'bw_reservation'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1;
COMMENT ON FUNCTION bw_reservation(text, text)
IS 'asks Bandwidth about a reservation; no row if there is none';

CREATE FUNCTION bw_unreserve(reservation_id text, server text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'bw_unreserve'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION bw_unreserve(text, text)
IS 'ends a reservation at once; false: there is none';

--
-- Seeing it
--

CREATE FUNCTION bw_subscription_problems(
    OUT server name,
    OUT kind text,
    OUT problem text)
RETURNS SETOF record
LANGUAGE SQL STABLE SECURITY DEFINER PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.server, p.kind, p.problem
      FROM (SELECT s.id, s.server,
                   CASE WHEN s.state IN ('CONTESTED', 'FAILED') THEN pg_catalog.lower(s.state)
                        WHEN s.error_text IS NOT NULL THEN
                            CASE s.state WHEN 'QUEUED' THEN 'waiting' ELSE 'unchecked' END
                        WHEN s.state = 'ACTIVE'
                             AND s.bandwidth_status !~ '^(READY$|200( |$))' THEN 'failing'
                   END,
                   CASE WHEN s.error_text IS NULL THEN s.bandwidth_status
                        ELSE pg_catalog.concat_ws(': ', s.error_code, s.error_text)
                   END
              FROM bw_subscriptions AS s
             WHERE s.wanted AND s.home = (SELECT i.home FROM bw_identity AS i))
           AS p(id, server, kind, problem)
     WHERE p.kind IS NOT NULL
     ORDER BY p.id;
END;
COMMENT ON FUNCTION bw_subscription_problems()
IS 'internal: subscriptions that do not do what they should';
REVOKE EXECUTE ON FUNCTION bw_subscription_problems() FROM PUBLIC;

CREATE FUNCTION bw_check(server text DEFAULT NULL)
RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
AS 'MODULE_PATHNAME', 'bw_check'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 12;
COMMENT ON FUNCTION bw_check(text)
IS 'is everything in place for searching, ordering and hearing back?';

CREATE FUNCTION bw_stat_get_worker(
    OUT pid integer,
    OUT state text,
    OUT since timestamptz,
    OUT fenced boolean,
    OUT in_flight integer,
    OUT port integer,
    OUT next_wake_at timestamptz,
    OUT last_success_at timestamptz,
    OUT last_error_at timestamptz,
    OUT last_error text)
AS 'MODULE_PATHNAME', 'bw_stat_get_worker'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bw_stat_get_worker()
IS 'internal: the worker of this database';
-- An error may tell of anybody's orders.
REVOKE EXECUTE ON FUNCTION bw_stat_get_worker() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bw_stat_get_worker() TO pg_monitor;

CREATE FUNCTION bw_stat_get_requests(
    OUT serverid oid,
    OUT class text,
    OUT calls bigint,
    OUT done bigint,
    OUT refused bigint,
    OUT not_found bigint,
    OUT unauthorized bigint,
    OUT later bigint,
    OUT unknown bigint,
    OUT retries bigint,
    OUT bytes_sent bigint,
    OUT bytes_received bigint,
    OUT total_time double precision,
    OUT latency_bounds integer[],
    OUT latency_calls bigint[],
    OUT budget_left integer,
    OUT budget_free_at timestamptz,
    OUT last_success_at timestamptz,
    OUT last_error_at timestamptz,
    OUT last_error text,
    OUT stats_since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'bw_stat_get_requests'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION bw_stat_get_requests()
IS 'internal: calls of this database, by server and endpoint class';
REVOKE EXECUTE ON FUNCTION bw_stat_get_requests() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bw_stat_get_requests() TO pg_monitor;

CREATE FUNCTION bw_stat_get_delay(
    server name,
    class text,
    OUT rate_limit_until timestamptz,
    OUT retry_at timestamptz,
    OUT error text)
AS 'MODULE_PATHNAME', 'bw_stat_get_delay'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bw_stat_get_delay(name, text)
IS 'internal: what holds calls of the worker back';
REVOKE EXECUTE ON FUNCTION bw_stat_get_delay(name, text) FROM PUBLIC;

CREATE FUNCTION bw_stat_reset(server text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'bw_stat_reset'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bw_stat_reset(text)
IS 'sets the counters of bw_stat_requests to 0, for one server or all, and forgets the last errors';
-- Who resets counters hides what happened.
REVOKE EXECUTE ON FUNCTION bw_stat_reset(text) FROM PUBLIC;

--
-- What does an order wait for?  The tables that say so are nobody's to read.
--

CREATE FUNCTION bw_waiting_for_pause(server text, ordered_by text)
RETURNS text
LANGUAGE SQL STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.format('the end of a pause (%s%s, since %s)',
                             pg_catalog.concat_ws(': ', p.error_code, p.reason),
                             ', by ' || pg_catalog.quote_ident(p.paused_by),
                             pg_catalog.date_trunc('second', p.since))
      FROM bw_pauses AS p
     WHERE p.server = bw_waiting_for_pause.server
       AND p.ordered_by IN ('', bw_waiting_for_pause.ordered_by)
     ORDER BY p.automatic LIMIT 1;
END;
COMMENT ON FUNCTION bw_waiting_for_pause(text, text)
IS 'internal: the pause of a server or role; null: there is none';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_pause(text, text) FROM PUBLIC;

-- Minutes leave the window one by one, until enough numbers have left: each when
-- its last second has.
CREATE FUNCTION bw_waiting_for_room(server text, kind text, quantity integer)
RETURNS text
LANGUAGE SQL STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN quantity > l.most THEN
            pg_catalog.format('%s, which is %s, to be raised', l.name, l.most)
        ELSE pg_catalog.format('room under the limit %s (%s)', l.name, l.most)
             || COALESCE(', not before '
                         || pg_catalog.date_trunc('second', pg_catalog.min(m.minute) + interval '1 day 1 minute'), '')
        END
      FROM (SELECT n.name, COALESCE((SELECT t.option_value::integer
                                       FROM pg_catalog.pg_foreign_server AS s,
                                            pg_catalog.pg_options_to_table(s.srvoptions) AS t
                                      WHERE s.srvname = bw_waiting_for_room.server
                                        AND t.option_name = n.name), n.preset) AS most
              FROM (VALUES ('order', 'max_numbers_per_day', 1000),
                           ('disconnect', 'max_disconnects_per_day', 10)) AS n(kind, name, preset)
             WHERE n.kind = bw_waiting_for_room.kind) AS l
      LEFT JOIN (SELECT d.minute, pg_catalog.sum(d.numbers) OVER (ORDER BY d.minute) AS freed,
                        pg_catalog.sum(d.numbers) OVER () AS spent
                   FROM bw_spending AS d
                  WHERE d.server = bw_waiting_for_room.server
                    AND d.kind = bw_waiting_for_room.kind
                    AND d.minute > pg_catalog.now() - interval '1 day 1 minute') AS m
        ON m.spent - m.freed + quantity <= l.most AND m.spent + quantity > l.most
     GROUP BY l.name, l.most;
END;
COMMENT ON FUNCTION bw_waiting_for_room(text, text, integer)
IS 'internal: when an order over the limit per day has room';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_room(text, text, integer) FROM PUBLIC;

CREATE FUNCTION bw_waiting_for_turn(server text, ordered_by text, order_id bigint, kind text)
RETURNS text
LANGUAGE SQL VOLATILE STRICT PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT CASE
        WHEN q.waits_for IS NOT NULL THEN
            'another order for the same telephone number'
            || COALESCE((SELECT pg_catalog.format(' (%s)', b.id) FROM bw_orders AS b
                          WHERE b.id = q.waits_for AND b.ordered_by::text = q.ordered_by), '')
        -- A part of a refused request that was counted a day ago.
        WHEN q.due_at > pg_catalog.clock_timestamp()
             AND EXISTS (SELECT FROM bw_requests AS r JOIN bw_orders AS f ON f.id = r.members[1]
                          WHERE r.id = q.request_id AND pg_catalog.cardinality(r.members) > 1
                            AND pg_catalog.date_trunc('minute', f.sent_at)
                                <= pg_catalog.now() - interval '1 day 1 minute') THEN
            bw_waiting_for_room(q.server, bw_waiting_for_turn.kind, q.quantity)
        WHEN q.due_at > pg_catalog.clock_timestamp() THEN
            pg_catalog.format('another try at %s: it could not be written down, the server log says why',
                              pg_catalog.date_trunc('second', q.due_at))
        WHEN q.search THEN
            'a search for its telephone numbers'
            || COALESCE(', under the rate limit not before '
                        || pg_catalog.date_trunc('second', s.rate_limit_until), '')
            || COALESCE('; the last one failed: ' || s.error, '')
        WHEN d.rate_limit_until IS NOT NULL THEN
            pg_catalog.format('its turn under the rate limit, not before %s',
                              pg_catalog.date_trunc('second', d.rate_limit_until))
        WHEN q.claimed AND d.retry_at IS NOT NULL THEN
            pg_catalog.format('another try at %s: %s',
                              pg_catalog.date_trunc('second', d.retry_at), d.error)
        ELSE 'to be sent'
        END
      FROM bw_queue AS q,
           bw_stat_get_delay(q.server::name, bw_waiting_for_turn.kind) AS d,
           bw_stat_get_delay(q.server::name, 'search') AS s
     WHERE q.server = bw_waiting_for_turn.server
       AND q.ordered_by = bw_waiting_for_turn.ordered_by
       AND q.order_id = bw_waiting_for_turn.order_id;
END;
COMMENT ON FUNCTION bw_waiting_for_turn(text, text, bigint, text)
IS 'internal: what an order in the queue waits for';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_turn(text, text, bigint, text) FROM PUBLIC;

-- Who would do something about it, if not the worker?
CREATE FUNCTION bw_waiting_for_worker()
RETURNS text
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT CASE
        WHEN w.fenced THEN
            'bw_take_over(): this database is a copy of the one that its orders belong to'
        WHEN pg_catalog.pg_is_in_recovery() OR w.state IN ('running', 'starting') THEN NULL
        ELSE pg_catalog.format('a worker for this database (%s): see bw_check()', w.state)
        END
      FROM bw_stat_get_worker() AS w;
END;
COMMENT ON FUNCTION bw_waiting_for_worker()
IS 'internal: why nothing is sent at all; null: it is';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_worker() FROM PUBLIC;

-- The server as it is now may not be the one that the order was made for.
CREATE FUNCTION bw_waiting_for_server(server name, account_id text)
RETURNS text
LANGUAGE SQL STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN s.srvname IS NULL THEN
            pg_catalog.format('server "%s", which does not exist any more',
                              bw_waiting_for_server.server)
        WHEN o.options ->> 'account_id' <> bw_waiting_for_server.account_id THEN
            pg_catalog.format('account %s, which is not that of server "%s" any more',
                              bw_waiting_for_server.account_id, s.srvname)
        WHEN o.options ->> 'ordering' = 'off' THEN
            pg_catalog.format('server "%s", whose option "ordering" is off', s.srvname)
        END
      FROM (VALUES (bw_waiting_for_server.server)) AS v(name)
      LEFT JOIN pg_catalog.pg_foreign_server AS s ON s.srvname = v.name
      LEFT JOIN LATERAL (SELECT pg_catalog.jsonb_object_agg(t.option_name, t.option_value)
                           FROM pg_catalog.pg_options_to_table(s.srvoptions) AS t) AS o(options)
        ON true;
END;
COMMENT ON FUNCTION bw_waiting_for_server(name, text)
IS 'internal: what is wrong with the server of an order; null: nothing';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_server(name, text) FROM PUBLIC;

CREATE FUNCTION bw_waiting_for_access(server name, ordered_by name)
RETURNS text
AS 'MODULE_PATHNAME', 'bw_waiting_for_access'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bw_waiting_for_access(name, name)
IS 'internal: what a role lacks to have its orders sent; null: nothing';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_access(name, name) FROM PUBLIC;

CREATE FUNCTION bw_waiting_for_what(id bigint)
RETURNS text
LANGUAGE SQL STABLE STRICT PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT CASE
        WHEN o.is_final THEN
            (SELECT pg_catalog.format('its outcome to be written into its row of %s', o.for_table)
                    || COALESCE(pg_catalog.format(', again at %s: %s',
                                                  pg_catalog.date_trunc('second', p.due_at),
                                                  NULLIF(o.write_back_error, '')), '')
               FROM bw_provisions AS p
              WHERE p.order_id = o.id AND p.due_at IS NOT NULL)
        WHEN o.home <> (SELECT i.home FROM bw_identity AS i) THEN
            'the database that it was made in: this one is a copy'
        WHEN d.due_at IS NOT NULL AND o.status IN ('QUEUED', 'HELD') THEN
            pg_catalog.format('a look at the account''s recent orders at %s: it may have been sent before the database changed hands',
                              pg_catalog.date_trunc('second', d.due_at))
        WHEN o.status = 'HELD' THEN
            (SELECT CASE h.reason WHEN 'approval' THEN 'bw_approve()'
                    WHEN 'release_after' THEN
                        pg_catalog.format('its time, %s: bw_cancel() takes it back until then',
                                          pg_catalog.date_trunc('second', h.due_at))
                    ELSE bw_waiting_for_room(h.server, o.kind, h.quantity) END
               FROM bw_held AS h WHERE h.order_id = o.id)
        WHEN o.attention IS NOT NULL THEN o.attention
        ELSE COALESCE(
            CASE WHEN o.status = 'QUEUED' OR w.step IS NOT NULL THEN
                bw_waiting_for_server(o.server, o.account_id) END,
            CASE WHEN o.status = 'QUEUED' OR w.step <> 'sent' THEN
                bw_waiting_for_access(o.server, o.ordered_by) END,
            bw_waiting_for_worker(),
            CASE WHEN o.status = 'QUEUED' OR w.step = 'resend' THEN
                bw_waiting_for_pause(o.server, o.ordered_by) END,
            CASE WHEN w.step = 'resend' AND pg_catalog.date_trunc('minute', o.sent_at)
                                            <= pg_catalog.now() - interval '1 day 1 minute' THEN
                (SELECT bw_waiting_for_room(r.server, o.kind, r.quantity)
                   FROM bw_requests AS r WHERE r.id = o.request_id) END,
            CASE o.status
                WHEN 'QUEUED' THEN bw_waiting_for_turn(o.server, o.ordered_by,
                    -- A part of a refused request waits by the row of its first order.
                    COALESCE((SELECT r.members[1] FROM bw_requests AS r
                               WHERE r.id = o.request_id AND NOT r.shared), o.id), o.kind)
                WHEN 'SENDING' THEN 'the reply to its request'
                    || COALESCE(', until ' || pg_catalog.date_trunc('second', w.due_at), '')
                WHEN 'UNKNOWN' THEN
                    CASE WHEN w.step = 'resend' THEN 'its request to be sent again'
                         WHEN w.adopting IS NOT NULL THEN
                             pg_catalog.format('a look at order %s, which bw_adopt() named,', w.adopting)
                         ELSE 'a look-up' END
                    || COALESCE(' at ' || pg_catalog.date_trunc('second', w.due_at), '')
                    || ': the reply to its request was lost'
                ELSE
                    CASE WHEN w.step = 'close' THEN 'Bandwidth to close it'
                         WHEN o.status = 'BACKORDERED' THEN 'Bandwidth to find more numbers'
                         ELSE 'Bandwidth to carry it out' END
                    || COALESCE('; next look at ' || pg_catalog.date_trunc('second', w.due_at), '')
                END)
        END
      FROM bw_orders AS o
      LEFT JOIN bw_open_requests AS w ON w.request_id = o.request_id
      LEFT JOIN bw_doubts AS d
        ON d.server = o.server AND d.ordered_by = o.ordered_by AND d.up_to >= o.id
     WHERE o.id = bw_waiting_for_what.id;
END;
COMMENT ON FUNCTION bw_waiting_for_what(bigint)
IS 'internal: why an order is not done yet';
REVOKE EXECUTE ON FUNCTION bw_waiting_for_what(bigint) FROM PUBLIC;

-- Only of orders that the caller's role may see.  Were it volatile, a mere count
-- of bw_open_orders would call it for each.  It looks with a snapshot of its own,
-- which a query with parallel workers has no place for.
CREATE FUNCTION bw_waiting_for(id bigint)
RETURNS text
AS 'MODULE_PATHNAME', 'bw_waiting_for'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bw_waiting_for(bigint)
IS 'why an order is not done yet; null: it is';

CREATE VIEW bw_open_orders WITH (security_invoker = true) AS
    SELECT o.id, o.kind, o.server, o.ordered_by, o.status, o.quantity,
           o.created_at, o.sent_at, o.bandwidth_order_id, o.attention,
           bw_waiting_for(o.id) AS waiting_for
      FROM bw_orders AS o
     WHERE NOT o.is_final
        OR (o.for_table IS NOT NULL AND o.written_back_at IS NULL
            AND bw_waiting_for(o.id) IS NOT NULL);
COMMENT ON VIEW bw_open_orders
IS 'orders that are not final, or whose outcome is not in its row yet, and what each waits for';
GRANT SELECT ON bw_open_orders TO PUBLIC;

-- Counts over everybody's orders: for those who watch.
CREATE FUNCTION bw_stat_get_orders(
    OUT queued bigint,
    OUT oldest_queued_at timestamptz,
    OUT held bigint,
    OUT under_way bigint,
    OUT unknown bigint,
    OUT attention bigint,
    OUT in_doubt bigint,
    OUT inbox bigint,
    OUT write_backs bigint,
    OUT paused text[],
    OUT subscriptions text[])
LANGUAGE SQL STABLE SECURITY DEFINER PARALLEL SAFE
BEGIN ATOMIC
    SELECT q.n, q.oldest, (SELECT pg_catalog.count(*) FROM bw_held), r.n, r.unknown, r.attention,
           (SELECT pg_catalog.count(*)
              FROM bw_doubts AS d
              JOIN (SELECT server, ordered_by, order_id FROM bw_queue
                    UNION ALL SELECT server, ordered_by, order_id FROM bw_held) AS w
                ON w.server = d.server AND w.ordered_by = d.ordered_by AND w.order_id <= d.up_to),
           (SELECT pg_catalog.count(*) FROM bw_inbox),
           (SELECT pg_catalog.count(*) FROM bw_provisions AS p WHERE p.due_at IS NOT NULL),
           ARRAY(SELECT pg_catalog.format('%s%s: %s since %s', p.server,
                                          CASE WHEN p.ordered_by <> '' THEN ', ' || p.ordered_by ELSE '' END,
                                          pg_catalog.concat_ws(': ', p.error_code, p.reason),
                                          pg_catalog.date_trunc('second', p.since))
                   FROM bw_pauses AS p ORDER BY p.server, p.ordered_by),
           ARRAY(SELECT pg_catalog.format('%s: %s: %s', p.server, p.kind, p.problem)
                   FROM bw_subscription_problems() AS p)
      FROM (SELECT COALESCE(pg_catalog.sum(CASE
                       -- A part of a refused request: the row stands for its orders.
                       WHEN q.claimed AND q.request_id IS NOT NULL THEN
                           (SELECT pg_catalog.cardinality(r.members) FROM bw_requests AS r
                             WHERE r.id = q.request_id)
                       ELSE 1 END), 0) AS n,
                   pg_catalog.min(o.created_at) AS oldest
              FROM bw_queue AS q JOIN bw_orders AS o ON o.id = q.order_id) AS q,
           (SELECT pg_catalog.count(*) AS n,
                   pg_catalog.count(*) FILTER (WHERE o.status = 'UNKNOWN') AS unknown,
                   pg_catalog.count(o.attention) AS attention
              FROM bw_open_requests AS w
              JOIN bw_requests AS r ON r.id = w.request_id
              JOIN bw_orders AS o ON o.id = ANY (r.members) AND o.request_id = r.id) AS r;
END;
COMMENT ON FUNCTION bw_stat_get_orders()
IS 'internal: how many orders there are in each kind of waiting';
REVOKE EXECUTE ON FUNCTION bw_stat_get_orders() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bw_stat_get_orders() TO pg_monitor;

CREATE VIEW bw_stat_worker AS
    SELECT w.pid, w.state, w.since, w.fenced, w.in_flight, w.port, w.next_wake_at,
           w.last_success_at, w.last_error_at, w.last_error,
           o.queued, o.oldest_queued_at,
           pg_catalog.clock_timestamp() - o.oldest_queued_at AS oldest_queued_age,
           o.held, o.under_way, o.unknown, o.attention, o.in_doubt, o.inbox, o.write_backs,
           o.paused, o.subscriptions
      FROM bw_stat_get_worker() AS w, bw_stat_get_orders() AS o;
COMMENT ON VIEW bw_stat_worker
IS 'the worker of this database, and what it has to do';
GRANT SELECT ON bw_stat_worker TO pg_monitor;

-- As in PostgreSQL's own views, what was dropped is not shown.
CREATE VIEW bw_stat_requests AS
    SELECT s.srvname AS server, r.class, r.calls, r.done, r.refused, r.not_found,
           r.unauthorized, r.later, r.unknown, r.retries, r.bytes_sent, r.bytes_received,
           r.total_time, r.latency_bounds, r.latency_calls, r.budget_left, r.budget_free_at,
           r.last_success_at, r.last_error_at, r.last_error, r.stats_since
      FROM bw_stat_get_requests() AS r
      JOIN pg_catalog.pg_foreign_server AS s ON s.oid = r.serverid;
COMMENT ON VIEW bw_stat_requests
IS 'calls to Bandwidth from this database, by server and kind, since the server''s start or bw_stat_reset()';
GRANT SELECT ON bw_stat_requests TO pg_monitor;
