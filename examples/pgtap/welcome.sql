-- Whoever gets a telephone number is written a letter.  Needs the server "bandwidth".

CREATE TABLE members (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    phone text,
    phone_status text NOT NULL DEFAULT 'pending',
    phone_error text
);

CREATE TABLE letters (
    member_id bigint NOT NULL REFERENCES members ON DELETE CASCADE,
    body text NOT NULL
);

CREATE TRIGGER give_number AFTER INSERT ON members
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'phone_status',
                                  'error_column', 'phone_error', 'npanxx', '919206');

CREATE FUNCTION write_letter() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.phone_status = 'COMPLETE' THEN
        INSERT INTO letters VALUES (NEW.id, format('Dear %s, your number is %s.', NEW.name, NEW.phone));
    ELSE
        INSERT INTO letters VALUES (NEW.id, format('Dear %s, please bear with us.', NEW.name));
    END IF;
    RETURN NULL;
END
$$;

-- The outcome is written by an UPDATE, like anybody's.
CREATE TRIGGER write_letter AFTER UPDATE OF phone_status ON members
    FOR EACH ROW WHEN (NEW.phone_status IN ('COMPLETE', 'FAILED', 'REJECTED'))
    EXECUTE FUNCTION write_letter();
