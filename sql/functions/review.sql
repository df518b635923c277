-- Who trained a version and who approved its prices: the session's own user, whom the server authenticated. Neither
-- SET ROLE nor these functions' own rights change it.

CREATE OR REPLACE FUNCTION pricing.record_training(trained_run_id text, trained_version integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO pricing.trainings (run_id, model_version, trained_by, trained_at)
    VALUES (trained_run_id, trained_version, session_user, clock_timestamp())
    ON CONFLICT DO NOTHING
$$;

-- Approve the book of a version that awaits it; returns the book.
CREATE OR REPLACE FUNCTION pricing.approve(chosen_version integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    book pricing.books;
    trainer text;
BEGIN
    SELECT * INTO book FROM pricing.books
    WHERE model_version = chosen_version AND state = 'in_review' AND review_until > now()
    ORDER BY book_id DESC LIMIT 1
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version % has no book that awaits approval: start the flow deploy with approval = review',
            chosen_version USING ERRCODE = 'no_data_found';
    END IF;
    IF book.approval = 'two_person' THEN
        SELECT trained_by INTO trainer FROM pricing.trainings WHERE run_id = book.run_id;
        IF trainer IS NULL THEN
            RAISE EXCEPTION 'nobody is recorded as the trainer of version %, so two persons cannot be told apart: '
                'train it again', chosen_version USING ERRCODE = 'no_data_found';
        ELSIF trainer = session_user THEN
            RAISE EXCEPTION 'version % was trained by % and needs a second person: let another database user approve it',
                chosen_version, trainer USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    INSERT INTO pricing.approvals (book_id, model_version, content_hash, approved_by, approved_at)
    VALUES (book.book_id, book.model_version, book.content_hash, session_user, clock_timestamp());
    RETURN book.book_id;
END $$;

-- Who let a book's present content go live: `automatic`, the approver, or nobody yet (null).
CREATE OR REPLACE FUNCTION pricing.approver_of(asked_book_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE books.approval WHEN 'automatic' THEN 'automatic' ELSE (
        SELECT approved_by
        FROM pricing.approvals
        WHERE approvals.book_id = books.book_id AND approvals.content_hash = books.content_hash
          AND (books.approval = 'review' OR approved_by <> (
              SELECT trained_by FROM pricing.trainings WHERE trainings.run_id = books.run_id))
        ORDER BY approval_id LIMIT 1) END
    FROM pricing.books
    WHERE books.book_id = asked_book_id
$$;
