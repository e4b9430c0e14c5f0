-- The trigger on the whole way: the sandbox says what becomes of an order.
SELECT plan(4);

INSERT INTO members (name) VALUES ('Edith') RETURNING id AS edith \gset

SELECT id AS edith_order FROM bw_orders
 WHERE for_table = 'public.members' AND for_key = jsonb_build_object('id', :edith) \gset
SELECT is(bw_wait(:edith_order), 'COMPLETE', 'the order completes');

-- The order is final; its row is written by a process of its own, a moment later.
CREATE PROCEDURE pg_temp.wait_for_row(ordered bigint)
LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '30 s';
BEGIN
    WHILE EXISTS (SELECT FROM bw_orders WHERE id = ordered AND written_back_at IS NULL) LOOP
        IF clock_timestamp() > give_up THEN
            RAISE EXCEPTION 'the outcome of order % is not in its row: %', ordered,
                (SELECT write_back_error FROM bw_orders WHERE id = ordered);
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
CALL pg_temp.wait_for_row(:edith_order);

SELECT is(phone, n.telephone_number, 'the row has the number that was ordered')
  FROM members, bw_order_numbers AS n
 WHERE id = :edith AND n.order_id = :edith_order AND n.status = 'COMPLETE';
SELECT is(phone_status, 'COMPLETE', 'and the status') FROM members WHERE id = :edith;
SELECT results_eq(format('SELECT body FROM letters WHERE member_id = %s', :edith),
                  format('SELECT ''Dear Edith, your number is '' || phone || ''.'' FROM members WHERE id = %s', :edith),
                  'and one letter was written');

SELECT * FROM finish();
