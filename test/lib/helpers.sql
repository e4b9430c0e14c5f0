-- What the pgTAP files share: an account on the sandbox, control of the
-- sandbox, errors as text, waiting.
--
--     \ir lib/helpers.sql
--
-- Server "bandwidth" and a mapping for the current user point at the sandbox;
-- variables base_url and token_url hold its addresses.

\getenv sandbox_url BW_SANDBOX_URL
\getenv files BW_FILES
\set base_url :sandbox_url /api
\set token_url :sandbox_url /api/v1/oauth2/token
\set control 'BW_SANDBOX_URL=':sandbox_url' ':files'/script/sandbox-control '

-- script/test looks for it in every log
\if :{?secret}
\else
\set secret Zx81-secret
\endif

SET client_min_messages = warning;

CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth
OPTIONS (base_url :'base_url', token_url :'token_url', account_id '9900000', site_id '743',
         requests_per_minute '1000000', burst '1000000', max_numbers_per_day '1000000');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (client_id 'client', client_secret :'secret');

CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO PUBLIC;
CREATE TABLE test.setting AS SELECT :'control'::text AS control;
GRANT SELECT ON test.setting TO PUBLIC;

-- Ask the sandbox for something: test.sandbox('faults class=SEARCH kind=hang'),
-- test.sandbox('GET journal/count class=SEARCH').  Returns its reply.
CREATE FUNCTION test.sandbox(command text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET client_min_messages = warning AS $$
DECLARE
    reply text;
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS test_reply (line text);
    TRUNCATE test_reply;
    EXECUTE format($copy$COPY test_reply FROM PROGRAM %L (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')$copy$,
                   (SELECT control FROM test.setting) || command);
    SELECT string_agg(line, E'\n') INTO reply FROM test_reply;
    RETURN reply;
END
$$;

-- How many requests the sandbox saw.
CREATE FUNCTION test.requests(filter text DEFAULT '') RETURNS integer
LANGUAGE sql AS $$SELECT test.sandbox('GET journal/count ' || filter)::integer$$;

-- A statement's error: 'SQLSTATE message | detail | hint', without what is
-- empty; NULL if there is none.
CREATE FUNCTION test.error(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN OTHERS OR QUERY_CANCELED THEN
    GET STACKED DIAGNOSTICS
        message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || message, NULLIF(detail, ''), NULLIF(hint, ''));
END
$$;

-- Poll until a query says true; false after the limit.
CREATE FUNCTION test.comes_true(query text, timeout interval DEFAULT '90 s') RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + timeout;
    result boolean;
BEGIN
    LOOP
        EXECUTE query INTO result;
        IF result THEN
            RETURN true;
        END IF;
        IF clock_timestamp() > give_up THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
