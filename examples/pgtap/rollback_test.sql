-- The trigger in one transaction, with outcomes that are played.
BEGIN;
SELECT plan(5);

INSERT INTO members (name) VALUES ('Ada'), ('Grace');
SELECT is(count(*), 2::bigint, 'an order for each new member')
  FROM bw_orders
 WHERE for_table = 'public.members'
   AND for_key IN (SELECT jsonb_build_object('id', id) FROM members WHERE phone_status = 'pending');

-- The order of a member.
CREATE FUNCTION pg_temp.order_of(member text) RETURNS bigint
LANGUAGE sql AS $$
    SELECT max(o.id)
      FROM bw_orders AS o
      JOIN members AS m ON o.for_key = jsonb_build_object('id', m.id)
     WHERE o.for_table = 'public.members' AND m.name = member AND m.phone_status = 'pending'
$$;

SELECT bw_test_outcome(pg_temp.order_of('Ada'));
SELECT matches(body, '^Dear Ada, your number is 555\d{7}\.$', 'who got a number is told which')
  FROM letters JOIN members ON id = member_id AND name = 'Ada';

SELECT bw_test_outcome(pg_temp.order_of('Grace'), 'FAILED', '5005');
SELECT is(body, 'Dear Grace, please bear with us.', 'who got none is written to as well')
  FROM letters JOIN members ON id = member_id AND name = 'Grace';
SELECT alike(phone_error, '5005%', 'and the row has the reason') FROM members WHERE name = 'Grace';

SELECT throws_ok(format('SELECT bw_test_outcome(%s)', max(id)), '55000', NULL, 'an order ends once')
  FROM bw_orders WHERE for_table = 'public.members';

SELECT * FROM finish();
ROLLBACK;
