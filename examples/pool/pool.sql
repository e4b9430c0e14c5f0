-- Numbers on the shelf.  Needs the server "bandwidth".

CREATE ROLE pool_keeper LOGIN;
GRANT USAGE ON FOREIGN SERVER bandwidth TO pool_keeper;
CREATE USER MAPPING FOR pool_keeper SERVER bandwidth
OPTIONS (client_id 'client', client_secret 'secret');
CREATE SCHEMA pool AUTHORIZATION pool_keeper;

SET ROLE pool_keeper;

CREATE TABLE pool.numbers (
    telephone_number text PRIMARY KEY,
    order_id bigint NOT NULL,
    stocked_at timestamptz NOT NULL DEFAULT now(),
    taken_by text,
    taken_at timestamptz
);
CREATE INDEX numbers_on_the_shelf ON pool.numbers (stocked_at) WHERE taken_by IS NULL;

CREATE TABLE pool.orders (
    order_id bigint PRIMARY KEY,
    quantity integer NOT NULL,
    stocked_at timestamptz
);

-- Who takes a number waits for nobody.  NULL: the shelf is empty.
CREATE FUNCTION pool.take_number(customer text) RETURNS text
LANGUAGE sql VOLATILE AS $$
    UPDATE pool.numbers
       SET taken_by = customer, taken_at = now()
     WHERE telephone_number = (SELECT n.telephone_number FROM pool.numbers AS n
                                WHERE n.taken_by IS NULL
                                ORDER BY n.stocked_at
                                LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING telephone_number
$$;

-- Stock what was bought; if fewer than "at_least" are there or ordered, order as
-- many as make it "up_to".  Returns how many are ordered now.
CREATE FUNCTION pool.restock(at_least integer DEFAULT 5, up_to integer DEFAULT 10) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    missing integer;
BEGIN
    -- One at a time, or two would order for the same gap.
    LOCK TABLE pool.orders IN SHARE ROW EXCLUSIVE MODE;

    WITH ended AS (
        UPDATE pool.orders AS p SET stocked_at = now()
          FROM bw_orders AS o
         WHERE o.id = p.order_id AND o.is_final AND p.stocked_at IS NULL
        RETURNING p.order_id)
    INSERT INTO pool.numbers (telephone_number, order_id)
    SELECT n.telephone_number, n.order_id
      FROM ended JOIN bw_order_numbers AS n ON n.order_id = ended.order_id AND n.status = 'COMPLETE'
    -- given back once, and bought again
    ON CONFLICT (telephone_number) DO UPDATE
       SET order_id = EXCLUDED.order_id, stocked_at = now(), taken_by = NULL, taken_at = NULL;

    SELECT up_to - (SELECT count(*) FROM pool.numbers WHERE taken_by IS NULL)
                 - COALESCE((SELECT sum(quantity) FROM pool.orders WHERE stocked_at IS NULL), 0)
      INTO missing;
    IF missing <= up_to - at_least
       -- Where nothing was to be had a minute ago, there is nothing now.
       OR EXISTS (SELECT FROM pool.orders AS p JOIN bw_orders AS o ON o.id = p.order_id
                   WHERE o.status IN ('FAILED', 'REJECTED') AND o.closed_at > now() - interval '15 min') THEN
        RETURN 0;
    END IF;

    INSERT INTO pool.orders (order_id, quantity)
    SELECT id, missing
      FROM bw_order_search(missing, npanxx => '919207', partial_allowed => true, attempts => 3,
                           tag => '{"for": "pool"}');
    RETURN missing;
END
$$;

RESET ROLE;
