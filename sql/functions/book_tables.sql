-- A book from its first row to its last: staged, perhaps in review, published, dropped. Its tables belong to the owner
-- of the platform and not to who fills them: a worker may insert into them until they are attached, and from then on
-- only read them. What a book holds is hashed and counted here, never told by who made it.

CREATE OR REPLACE FUNCTION pricing.stage_prices(staged_book_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE parent text;
BEGIN
    IF NOT EXISTS (SELECT FROM pricing.books WHERE book_id = staged_book_id AND state = 'staged') THEN
        RAISE EXCEPTION 'book % is not being made', staged_book_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH parent IN ARRAY ARRAY['personal_prices', 'uniform_prices'] LOOP
        EXECUTE format('CREATE TABLE pricing.%1$I (LIKE pricing.%2$I INCLUDING ALL);'
            'GRANT SELECT, INSERT ON pricing.%1$I TO pricing_worker', parent || '_' || staged_book_id, parent);
    END LOOP;
END $$;

-- What stock is worth is told while a book is made, and never of one that stands.
CREATE OR REPLACE FUNCTION pricing.only_while_staged() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pricing.books WHERE book_id = NEW.book_id AND state = 'staged') THEN
        RAISE EXCEPTION 'book % is not being made', NEW.book_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER curves_of_staged_books BEFORE INSERT ON pricing.bid_price_curves
    FOR EACH ROW EXECUTE FUNCTION pricing.only_while_staged();

-- Give the written tables their keys, and make them partitions that no reader is pointed to yet.
CREATE OR REPLACE FUNCTION pricing.attach_prices(staged_book_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    key text;
BEGIN
    FOR parent, key IN VALUES ('personal_prices', 'user_id, product_id'), ('uniform_prices', 'product_id') LOOP
        -- With the check the table is attached without being read again.
        EXECUTE format('REVOKE INSERT ON pricing.%1$I FROM pricing_worker;'
            'ALTER TABLE pricing.%1$I ADD PRIMARY KEY (book_id, %3$s), ADD CHECK (book_id = %4$s); ANALYZE pricing.%1$I;'
            'ALTER TABLE pricing.%2$I ATTACH PARTITION pricing.%1$I FOR VALUES IN (%4$s)',
            parent || '_' || staged_book_id, parent, key, staged_book_id);
    END LOOP;
END $$;

-- Record what a book holds, which nobody can add to any more.
CREATE OR REPLACE FUNCTION pricing.seal_book(sealed_book_id bigint, given_certificate jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    counted bigint[] := '{}';
    rows_found bigint;
BEGIN
    PERFORM FROM pricing.books WHERE book_id = sealed_book_id AND state IN ('staged', 'in_review') FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'book % is not being made', sealed_book_id USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF EXISTS (SELECT FROM pricing.books WHERE book_id = sealed_book_id AND state = 'in_review'
                  AND certificate IS DISTINCT FROM given_certificate) THEN
        RAISE EXCEPTION 'book % was submitted with another certificate', sealed_book_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF given_certificate IS NULL THEN
        RAISE EXCEPTION 'book % has no certificate', sealed_book_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH parent IN ARRAY ARRAY['personal_prices', 'uniform_prices'] LOOP
        IF NOT EXISTS (SELECT FROM pg_inherits
                       WHERE inhparent = to_regclass('pricing.' || parent)
                         AND inhrelid = to_regclass('pricing.' || parent || '_' || sealed_book_id)) THEN
            RAISE EXCEPTION 'the prices of book % are not all written yet', sealed_book_id
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        EXECUTE format('SELECT count(*) FROM pricing.%I', parent || '_' || sealed_book_id) INTO rows_found;
        counted := counted || rows_found;
    END LOOP;
    UPDATE pricing.books
    SET personal_rows = counted[1], uniform_rows = counted[2], certificate = given_certificate,
        content_hash = pricing.book_content_hash(sealed_book_id)
    WHERE book_id = sealed_book_id;
END $$;

-- A staged book, whole and certified, now awaits approval: of exactly the prices that it has now. Returns until when.
CREATE OR REPLACE FUNCTION pricing.submit_book(
    submitted_book_id bigint, given_certificate jsonb, asked_approval text, patience interval) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE ends timestamptz := now() + patience;
BEGIN
    PERFORM pricing.seal_book(submitted_book_id, given_certificate);
    UPDATE pricing.books SET state = 'in_review', approval = asked_approval, review_until = ends
    WHERE book_id = submitted_book_id;
    RETURN ends;
END $$;

-- A book that is whole and certified goes live, for so long at most, where its approval is there.
CREATE OR REPLACE FUNCTION pricing.publish_book(
    published_book_id bigint, given_certificate jsonb, lifetime interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF lifetime IS NULL OR lifetime > interval '31 days' THEN
        RAISE EXCEPTION 'a book is quoted for 31 days at most; got %', coalesce(lifetime::text, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pricing.seal_book(published_book_id, given_certificate);
    UPDATE pricing.books SET state = 'published', published_at = now(), expires_at = now() + lifetime
    WHERE book_id = published_book_id;
    PERFORM pricing.make_live(published_book_id, 'publish');
END $$;

-- Drop the prices of a book that is neither live nor the one that a rollback returns to; its row in pricing.books stays
-- as history. Who gives up waiting for an approval spares a book that has just got it.
CREATE OR REPLACE FUNCTION pricing.drop_prices(dropped_book_id bigint, unless_approved boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE parent text;
BEGIN
    PERFORM FROM pricing.books WHERE book_id = dropped_book_id FOR UPDATE;  -- so that it does not go live meanwhile
    IF dropped_book_id = ANY ((pricing.standing_books())[:2]) THEN
        RAISE EXCEPTION 'book % is live, or the one that a rollback returns to: its prices stay', dropped_book_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF unless_approved AND pricing.approver_of(dropped_book_id) IS NOT NULL THEN
        RAISE EXCEPTION 'book % has been approved', dropped_book_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH parent IN ARRAY ARRAY['personal_prices', 'uniform_prices'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS pricing.%I', parent || '_' || dropped_book_id);
    END LOOP;
    DELETE FROM pricing.repriced_personal WHERE book_id = dropped_book_id;  -- they continued it
    DELETE FROM pricing.repriced_uniform WHERE book_id = dropped_book_id;
    DELETE FROM pricing.superseded_uniform WHERE book_id = dropped_book_id;
    DELETE FROM pricing.bid_price_curves WHERE book_id = dropped_book_id;
    UPDATE pricing.books SET state = 'dropped' WHERE book_id = dropped_book_id;
END $$;

-- What the ledger has recorded of a book stays as it was recorded; only its prices can go. A book that asks for an
-- approval goes on asking for it.
CREATE OR REPLACE FUNCTION pricing.keep_recorded_book() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (pricing.ledger_details(NEW) <> pricing.ledger_details(OLD)
        OR NEW.state <> OLD.state AND (OLD.state, NEW.state) <> ('published', 'dropped'))
       AND EXISTS (SELECT FROM pricing.ledger WHERE book_id = OLD.book_id) THEN
        RAISE EXCEPTION 'book % is in the ledger: what was recorded of it cannot be changed', OLD.book_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF OLD.approval <> 'automatic' AND NEW.approval <> OLD.approval THEN
        RAISE EXCEPTION 'book % awaits approval (%), which cannot be changed: deploy again', OLD.book_id, OLD.approval
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER recorded_books_stay BEFORE UPDATE ON pricing.books
    FOR EACH ROW EXECUTE FUNCTION pricing.keep_recorded_book();
