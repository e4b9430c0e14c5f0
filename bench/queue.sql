-- A queue table in plpgsql: the peer that node/sender.js empties.

CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL,
    name text, bandwidth_order_id text UNIQUE, message text,
    created_at timestamptz NOT NULL DEFAULT now(), received_at timestamptz, closed_at timestamptz);
CREATE TABLE order_numbers (order_id bigint REFERENCES orders, telephone_number text,
    status text NOT NULL DEFAULT 'PENDING', PRIMARY KEY (order_id, telephone_number));
CREATE TABLE queue (order_id bigint PRIMARY KEY, telephone_number text NOT NULL, name text NOT NULL,
    customer_order_id text NOT NULL DEFAULT gen_random_uuid(),
    state text NOT NULL DEFAULT 'new', sent_at timestamptz);
CREATE INDEX queue_new ON queue (order_id) WHERE state = 'new';
-- The queue's row goes when it was sent; the benchmark wants to know later.
CREATE TABLE sent (order_id bigint, name text, customer_order_id text);

CREATE FUNCTION enqueue(telephone_number text, name text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    new_id bigint;
    ours text;
BEGIN
    INSERT INTO orders (status, name) VALUES ('QUEUED', name) RETURNING id INTO new_id;
    INSERT INTO order_numbers (order_id, telephone_number) VALUES (new_id, telephone_number);
    INSERT INTO queue (order_id, telephone_number, name)
    VALUES (new_id, telephone_number, name) RETURNING customer_order_id INTO ours;
    INSERT INTO sent VALUES (new_id, name, ours);
    PERFORM pg_notify('queue', '');
    RETURN new_id;
END
$$;
