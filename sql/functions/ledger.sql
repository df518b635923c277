-- The hash that chains a ledger entry to the one before it.
CREATE OR REPLACE FUNCTION pricing.ledger_hash(entry pricing.ledger) RETURNS text
LANGUAGE sql STABLE SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(
        jsonb_build_array(entry.previous_hash, entry.entry_id, entry.recorded_at::text, entry.actor,
                          entry.action, entry.book_id, entry.details)::text, 'UTF8')), 'hex')
$$;

-- What the ledger says of a book: enough to show later that neither its prices nor what made them was changed.
CREATE OR REPLACE FUNCTION pricing.ledger_details(book pricing.books) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'content_hash', book.content_hash, 'policy', book.policy, 'terms', book.terms, 'currency', book.currency,
        'model_name', book.model_name, 'model_version', book.model_version, 'run_id', book.run_id,
        'snapshot_id', book.snapshot_id, 'certificate', book.certificate, 'approver', book.approver)
$$;

-- The books that were live one before another, the live one first, without those that were rolled back from.
CREATE OR REPLACE FUNCTION pricing.standing_books() RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    standing bigint[] := '{}';
    went_live bigint;
BEGIN
    FOR went_live IN SELECT book_id FROM pricing.ledger ORDER BY entry_id LOOP
        -- Gone back to: what came after it was rolled back from.
        standing := went_live || standing[coalesce(array_position(standing, went_live), 0) + 1:];
    END LOOP;
    RETURN standing;
END $$;

-- Make a book the live one and record it: the whole of going live and of going back. The caller's
-- transaction decides whether both happened or neither. A rollback that names no book returns to the one before.
CREATE OR REPLACE FUNCTION pricing.make_live(chosen_book_id bigint, chosen_action text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    replaced_book_id bigint;
    chosen pricing.books;
    last pricing.ledger;
    entry pricing.ledger;
BEGIN
    LOCK TABLE pricing.live, pricing.ledger IN EXCLUSIVE MODE;  -- one book at a time; readers are not held up
    SELECT live.book_id INTO replaced_book_id FROM pricing.live;
    IF chosen_book_id IS NULL AND chosen_action = 'rollback' THEN
        chosen_book_id := (pricing.standing_books())[2];
        IF chosen_book_id IS NULL THEN
            RAISE EXCEPTION 'there is no book before the live one; `pricing books` lists what there is'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END IF;
    SELECT * INTO chosen FROM pricing.books WHERE book_id = chosen_book_id AND state = 'published' FOR UPDATE;
    IF replaced_book_id = chosen_book_id THEN
        RAISE EXCEPTION 'book % is live already', chosen_book_id USING ERRCODE = 'invalid_parameter_value';
    ELSIF chosen.book_id IS NULL THEN
        RAISE EXCEPTION 'book % has no published prices; see pricing.price_books', chosen_book_id
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF chosen_action = 'rollback' AND NOT EXISTS (SELECT FROM pricing.ledger WHERE book_id = chosen_book_id) THEN
        RAISE EXCEPTION 'book % was never live, so there is no going back to it: deploy it', chosen_book_id
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF chosen_action = 'rollback' AND chosen.expires_at <= now() THEN
        RAISE EXCEPTION 'book % expired on %, so everybody would get list prices: publish a new one with `pricing run`',
            chosen_book_id, to_char(chosen.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF chosen_action = 'publish' AND chosen.priced_against IS DISTINCT FROM replaced_book_id THEN
        RAISE EXCEPTION 'book % was priced when % was live, and % is live now: deploy again', chosen_book_id,
            coalesce('book ' || chosen.priced_against, 'none'), coalesce('book ' || replaced_book_id, 'none')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF chosen_action = 'publish' THEN  -- whatever its row says: who approved is known from pricing.approvals alone
        UPDATE pricing.books SET approver = pricing.approver_of(book_id) WHERE book_id = chosen_book_id
        RETURNING approver INTO chosen.approver;
    END IF;
    IF chosen.approver IS NULL THEN
        RAISE EXCEPTION 'book % is not approved: `pricing approve %`', chosen_book_id, chosen.model_version
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    SELECT * INTO last FROM pricing.ledger ORDER BY entry_id DESC LIMIT 1;
    entry.entry_id := coalesce(last.entry_id, 0) + 1;
    entry.recorded_at := clock_timestamp();
    entry.actor := session_user;
    entry.action := chosen_action;
    entry.book_id := chosen_book_id;
    entry.details := pricing.ledger_details(chosen) || jsonb_build_object('replaced_book_id', replaced_book_id);
    entry.previous_hash := coalesce(last.hash, 'genesis');
    entry.hash := pricing.ledger_hash(entry);
    INSERT INTO pricing.ledger SELECT (entry).*;
    INSERT INTO pricing.live (book_id, ledger_hash) VALUES (chosen_book_id, entry.hash)
    ON CONFLICT (singleton) DO UPDATE SET book_id = excluded.book_id, ledger_hash = excluded.ledger_hash;
    PERFORM pricing.queue_unseen(chosen_book_id);
END $$;

-- A hash of every price of a book, attached or still staged, and of what its stock is worth as it goes. Rows are hashed
-- user by user and the users' hashes together, so that no step holds the whole book.
CREATE OR REPLACE FUNCTION pricing.book_content_hash(hashed_book_id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1 AS $$
DECLARE content_hash text;
BEGIN
    -- Rows from before prices told what they were computed from are hashed as they were then.
    EXECUTE format($query$
        WITH user_rows AS (
            SELECT user_id, product_id, CASE WHEN sensitivity IS NOT NULL THEN personal::text ELSE
                       ROW(book_id, user_id, product_id, price, lower, upper, purchase_probability, elasticity, reasons,
                           randomised, propensity)::text END AS content
            FROM pricing.%I AS personal
        ),
        user_hashes AS (
            SELECT row_number() OVER (ORDER BY user_id COLLATE "C") - 1 AS remaining_before, 1 AS kind, 0 AS place,
                   encode(sha256(convert_to(
                       string_agg(content, E'\n' ORDER BY product_id COLLATE "C"), 'UTF8')), 'hex') AS hash
            FROM user_rows
            GROUP BY user_id
            UNION ALL  -- those who were forgotten since, each before the remaining user who came next
            SELECT place - row_number() OVER (ORDER BY place) + 1, 0, place, hash
            FROM pricing.forgotten WHERE book_id = $1
        ),
        product_hashes AS (
            SELECT product_id, encode(sha256(convert_to(CASE WHEN sensitivity IS NOT NULL THEN uniform::text ELSE
                       ROW(book_id, product_id, price, lower, upper, list_price, reasons)::text END,
                       'UTF8')), 'hex') AS hash
            FROM pricing.%I AS uniform
        )
        SELECT encode(sha256(convert_to(concat_ws(E'\n',
            (SELECT string_agg(hash, E'\n' ORDER BY remaining_before, kind, place) FROM user_hashes),
            (SELECT string_agg(hash, E'\n' ORDER BY product_id COLLATE "C") FROM product_hashes),
            (SELECT string_agg(curve::text, E'\n' ORDER BY pool_id COLLATE "C")
             FROM pricing.bid_price_curves AS curve WHERE book_id = $1)), 'UTF8')), 'hex')
        $query$, 'personal_prices_' || hashed_book_id, 'uniform_prices_' || hashed_book_id)
        INTO content_hash USING hashed_book_id;
    RETURN content_hash;
END $$;
