-- The hash that chains a ledger entry to the one before it.
CREATE OR REPLACE FUNCTION pricing.ledger_hash(entry pricing.ledger) RETURNS text
LANGUAGE sql STABLE SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET search_path = pg_catalog AS $$
    SELECT encode(sha256(convert_to(
        jsonb_build_array(entry.previous_hash, entry.entry_id, entry.recorded_at::text, entry.actor,
                          entry.action, entry.book_id, entry.details)::text, 'UTF8')), 'hex')
$$;

-- Make a book the live one and record it: the whole of going live and of going back. The caller's
-- transaction decides whether both happened or neither.
CREATE OR REPLACE FUNCTION pricing.make_live(chosen_book_id bigint, chosen_action text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    replaced_book_id bigint;
    last pricing.ledger;
    entry pricing.ledger;
BEGIN
    LOCK TABLE pricing.live, pricing.ledger IN EXCLUSIVE MODE;  -- one book at a time; readers are not held up
    SELECT live.book_id INTO replaced_book_id FROM pricing.live;
    IF replaced_book_id = chosen_book_id THEN
        RAISE EXCEPTION 'book % is live already', chosen_book_id USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM pricing.books WHERE book_id = chosen_book_id AND state = 'published') THEN
        RAISE EXCEPTION 'book % has no published prices; see pricing.price_books', chosen_book_id
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO pricing.live (book_id, previous_book_id) VALUES (chosen_book_id, replaced_book_id)
    ON CONFLICT (singleton) DO UPDATE
        SET book_id = excluded.book_id, previous_book_id = excluded.previous_book_id;

    SELECT * INTO last FROM pricing.ledger ORDER BY entry_id DESC LIMIT 1;
    entry.entry_id := coalesce(last.entry_id, 0) + 1;
    entry.recorded_at := clock_timestamp();
    entry.actor := session_user;
    entry.action := chosen_action;
    entry.book_id := chosen_book_id;
    SELECT jsonb_build_object(
               'replaced_book_id', replaced_book_id, 'content_hash', content_hash, 'policy', policy,
               'model_name', model_name, 'model_version', model_version, 'snapshot_id', snapshot_id,
               'certificate', certificate, 'approver', approver)
        INTO entry.details FROM pricing.books WHERE book_id = chosen_book_id;
    entry.previous_hash := coalesce(last.hash, 'genesis');
    entry.hash := pricing.ledger_hash(entry);
    INSERT INTO pricing.ledger SELECT (entry).*;
END $$;

-- A hash of every price of a book. Rows are hashed user by user and the users' hashes together,
-- so that no step holds the whole book.
CREATE OR REPLACE FUNCTION pricing.book_content_hash(hashed_book_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH user_hashes AS (
        SELECT user_id, encode(sha256(convert_to(
                   string_agg(personal::text, E'\n' ORDER BY product_id COLLATE "C"), 'UTF8')), 'hex') AS hash
        FROM pricing.personal_prices AS personal
        WHERE book_id = hashed_book_id
        GROUP BY user_id
    ),
    product_hashes AS (
        SELECT product_id, encode(sha256(convert_to(uniform::text, 'UTF8')), 'hex') AS hash
        FROM pricing.uniform_prices AS uniform
        WHERE book_id = hashed_book_id
    )
    SELECT encode(sha256(convert_to(concat_ws(E'\n',
        (SELECT string_agg(hash, E'\n' ORDER BY user_id COLLATE "C") FROM user_hashes),
        (SELECT string_agg(hash, E'\n' ORDER BY product_id COLLATE "C") FROM product_hashes)), 'UTF8')), 'hex')
$$;
