-- Who trained a version and who approved its prices: the session's own user, whom the server authenticated. Neither
-- SET ROLE nor these functions' own rights change it.

CREATE OR REPLACE FUNCTION pricing.record_training(trained_run_id text, trained_version integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO pricing.trainings (run_id, model_version, trained_by, trained_at)
    VALUES (trained_run_id, trained_version, session_user, clock_timestamp())
    ON CONFLICT DO NOTHING
$$;

-- Approve the book of a version that awaits it; returns the book. Where several await it, one is named.
CREATE OR REPLACE FUNCTION pricing.approve(chosen_version integer, chosen_book_id bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    waiting bigint[];
    book pricing.books;
    trainer text;
BEGIN
    SELECT array_agg(book_id ORDER BY book_id) INTO waiting FROM pricing.books
    WHERE model_version = chosen_version AND book_id = coalesce(chosen_book_id, book_id)
      AND state = 'in_review' AND review_until > now();
    IF waiting IS NULL THEN
        RAISE EXCEPTION '% has no book that awaits approval: start the flow deploy with approval = review',
            'version ' || chosen_version || coalesce(' with book ' || chosen_book_id, '') USING ERRCODE = 'no_data_found';
    ELSIF cardinality(waiting) > 1 THEN
        RAISE EXCEPTION 'books % of version % await approval: name the one whose card you read, as in '
            '`pricing approve % --book %`', array_to_string(waiting, ', '), chosen_version, chosen_version, waiting[1]
            USING ERRCODE = 'cardinality_violation';
    END IF;
    SELECT * INTO STRICT book FROM pricing.books WHERE book_id = waiting[1] FOR SHARE;
    IF book.state <> 'in_review' THEN
        RAISE EXCEPTION 'book % awaits no approval any more: it has just been %', book.book_id, book.state
            USING ERRCODE = 'no_data_found';
    END IF;
    IF pricing.needed_approval(book) = 'two_person' THEN
        trainer := pricing.trainer_of(book);
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

-- Who trained the very version that a book names, or null.
CREATE OR REPLACE FUNCTION pricing.trainer_of(book pricing.books) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT trained_by FROM pricing.trainings
    WHERE trainings.run_id = book.run_id AND trainings.model_version = book.model_version
$$;

-- The stricter of what a deployment asks for and what the owner requires of every one.
CREATE OR REPLACE FUNCTION pricing.stricter_approval(asked text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT level FROM unnest(ARRAY['two_person', 'review', 'automatic']) WITH ORDINALITY AS ranked (level, place)
    WHERE level IN (asked, (SELECT approval FROM pricing.required_approval))
    ORDER BY place LIMIT 1
$$;

CREATE OR REPLACE FUNCTION pricing.needed_approval(book pricing.books) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT pricing.stricter_approval(book.approval) $$;

-- Require an approval of every book from now on, for the owner alone.
CREATE OR REPLACE FUNCTION pricing.require_approval(least_approval text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE pricing.required_approval
    SET approval = least_approval, set_by = session_user, set_at = clock_timestamp()
$$;

-- Who let a book's present content go live: `automatic`, the approver, or nobody yet (null).
CREATE OR REPLACE FUNCTION pricing.approver_of(asked_book_id bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE needed.approval WHEN 'automatic' THEN 'automatic' ELSE (
        SELECT approved_by
        FROM pricing.approvals
        WHERE approvals.book_id = books.book_id AND approvals.content_hash = books.content_hash
          AND (needed.approval = 'review' OR approved_by <> pricing.trainer_of(books))
        ORDER BY approval_id LIMIT 1) END
    FROM pricing.books, pricing.needed_approval(books) AS needed (approval)
    WHERE books.book_id = asked_book_id
$$;
