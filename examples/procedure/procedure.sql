-- Search, pick, order, wait.  Needs the server "bandwidth".

-- The fewer different digits, the easier to remember.
CREATE FUNCTION different_digits(telephone_number text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT count(DISTINCT digit) FROM string_to_table(telephone_number, NULL) AS digit);

CREATE PROCEDURE order_memorable(npanxx text, INOUT telephone_number text DEFAULT NULL,
                                 INOUT status text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    candidates text[];
    order_id bigint;
BEGIN
    SELECT array_agg(s.telephone_number ORDER BY different_digits(s.telephone_number), s.telephone_number)
      INTO candidates
      FROM bw_search(order_memorable.npanxx, quantity => 200, lca => false) AS s;
    IF candidates IS NULL THEN
        RAISE EXCEPTION 'no numbers are available in %', npanxx
            USING HINT = 'Try the exchange of a neighbouring place.';
    END IF;
    -- Five tries, because what goes wrong five times is no coincidence.
    FOREACH telephone_number IN ARRAY candidates[1:5] LOOP
        CALL bw_order_and_wait(ARRAY[telephone_number], id => order_id, status => status);
        -- COMPLETE is what we want, and an order that is still open may yet be that.
        EXIT WHEN status NOT IN ('FAILED', 'REJECTED');
        RAISE NOTICE '% is %: %', telephone_number, status,
            (SELECT concat_ws(' ', o.error_code, o.error_text) FROM bw_orders AS o WHERE o.id = order_id);
    END LOOP;
END
$$;

CALL order_memorable('919222');
