-- Customers who get telephone numbers.  Needs the server "bandwidth".

-- Who owns the table, and who works with it.
CREATE ROLE shop_owner;
CREATE ROLE shop_app;
CREATE SCHEMA shop AUTHORIZATION shop_owner;

-- The one who inserts is the one who orders: the account's server and
-- credentials are theirs.  With an account of your own, name its client_id, and
-- a client_secret_file.
GRANT USAGE ON FOREIGN SERVER bandwidth TO shop_app;
CREATE USER MAPPING FOR shop_app SERVER bandwidth
OPTIONS (client_id 'client', client_secret 'secret');

SET ROLE shop_owner;

CREATE TABLE shop.customers (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    postcode text NOT NULL,
    phone text UNIQUE,
    phone_status text NOT NULL DEFAULT 'pending',
    phone_error text
);

CREATE TRIGGER give_number AFTER INSERT ON shop.customers
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'number_format', 'e164',
                                  'status_column', 'phone_status', 'error_column', 'phone_error',
                                  'zip_column', 'postcode', 'attempts', '3');

CREATE TRIGGER give_number_again AFTER UPDATE ON shop.customers
    FOR EACH ROW WHEN (NEW.phone_status = 'retry')
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'number_format', 'e164',
                                  'status_column', 'phone_status', 'error_column', 'phone_error',
                                  'zip_column', 'postcode', 'attempts', '3');

-- All that the application needs: to insert, and to have outcomes written.
GRANT USAGE ON SCHEMA shop TO shop_app;
GRANT INSERT ON shop.customers TO shop_app;
GRANT SELECT (id, phone), UPDATE (phone, phone_status, phone_error) ON shop.customers TO shop_app;

-- From here on, the application.
SET ROLE shop_app;

INSERT INTO shop.customers (name, postcode)
VALUES ('Ada', '27601'), ('Grace', '27601'), ('Edith', '99999');

-- An order ends within a second; its outcome is in the row a moment later.
SELECT status, count(*)
  FROM bw_wait(ARRAY(SELECT id FROM bw_orders WHERE for_table = 'shop.customers'))
 GROUP BY status ORDER BY status;
DO $$
BEGIN
    WHILE EXISTS (SELECT FROM bw_orders WHERE for_table = 'shop.customers' AND written_back_at IS NULL) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;

-- There are no numbers at Edith's: the order was rejected, and the row says why.
RESET ROLE;
SELECT name, phone, phone_status, phone_error FROM shop.customers ORDER BY id;

-- She takes one from elsewhere.  A row that names its number orders that one,
-- and none in its place if somebody else was faster.
SET ROLE shop_app;
UPDATE shop.customers SET phone = '(919) 243-0002', phone_status = 'retry' WHERE id = 3;
SELECT bw_wait(max(id)) FROM bw_orders WHERE for_table = 'shop.customers';
DO $$
BEGIN
    WHILE EXISTS (SELECT FROM bw_orders WHERE for_table = 'shop.customers' AND written_back_at IS NULL) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
RESET ROLE;
SELECT name, phone, phone_status, phone_error FROM shop.customers ORDER BY id;
