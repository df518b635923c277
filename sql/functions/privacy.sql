-- Remove a person: what they did, were offered, quoted and priced, in every dataset and every book that is kept; what
-- waits for validation apart, which is pricing.forget_waiting's.
CREATE OR REPLACE FUNCTION pricing.forget_user(forgotten_user_id text)
RETURNS TABLE (place text, row_count bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1 AS $$
#variable_conflict use_column
DECLARE
    stored_id text;
    priced bigint;
    emptied text;
BEGIN
    PERFORM pricing.refuse_bad_id('user_id', forgotten_user_id);
    stored_id := pricing.stored_user_id(forgotten_user_id);
    LOCK TABLE pricing.forgotten IN EXCLUSIVE MODE;  -- places are counted one person at a time
    FOR priced IN SELECT DISTINCT book_id FROM pricing.personal_prices WHERE user_id = stored_id LOOP
        INSERT INTO pricing.forgotten (book_id, place, hash)
        SELECT priced, remaining.before + count(*) FILTER (WHERE gone.remaining_before <= remaining.before),
               (SELECT encode(sha256(convert_to(string_agg(
                    CASE WHEN sensitivity IS NOT NULL THEN personal::text ELSE
                        ROW(book_id, user_id, product_id, price, lower, upper, purchase_probability, elasticity,
                            reasons, randomised, propensity)::text END,
                    E'\n' ORDER BY product_id COLLATE "C"), 'UTF8')), 'hex')
                FROM pricing.personal_prices AS personal
                WHERE book_id = priced AND user_id = stored_id)
        FROM (SELECT count(DISTINCT user_id) AS before FROM pricing.personal_prices
              WHERE book_id = priced AND user_id COLLATE "C" < stored_id) AS remaining
        LEFT JOIN (SELECT forgotten.place - row_number() OVER (ORDER BY forgotten.place) + 1 AS remaining_before
                   FROM pricing.forgotten WHERE book_id = priced) AS gone ON true
        GROUP BY remaining.before;
    END LOOP;
    INSERT INTO pricing.forgotten_units AS kept (dataset, pool_id, units)  -- what they bought is gone from its stock
    SELECT dataset, pool_id, sum(units) FROM pricing.sold_units WHERE user_id = stored_id GROUP BY dataset, pool_id
    ON CONFLICT (dataset, pool_id) DO UPDATE SET units = kept.units + excluded.units;
    DELETE FROM pricing.outcomes USING pricing.quotes
    WHERE quotes.quote_id = outcomes.quote_id AND quotes.user_id = stored_id;
    FOREACH emptied IN ARRAY ARRAY['pricing.quotes', 'pricing.events', 'pricing.reprice_queue',
                                   'pricing.repriced_personal', 'pricing.personal_prices',
                                   'data.behaviour', 'data.offers', 'data.users'] LOOP
        EXECUTE format('DELETE FROM %s WHERE user_id = $1', emptied) USING stored_id;
        GET DIAGNOSTICS row_count = ROW_COUNT;
        place := emptied;
        RETURN NEXT;
    END LOOP;
    DELETE FROM pricing.quarantine WHERE "row" ->> 'user_id' = stored_id;
    GET DIAGNOSTICS row_count = ROW_COUNT;
    place := 'pricing.quarantine';
    RETURN NEXT;
END $$;

-- Remove a person from loads that were refused, or that still wait for their validation. With the caller's rights:
-- these tables belong to the worker, whose triggers must not run with the owner's.
CREATE OR REPLACE FUNCTION pricing.forget_waiting(forgotten_user_id text)
RETURNS TABLE (place text, row_count bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stored_id text := pricing.stored_user_id(forgotten_user_id);
    emptied text;
BEGIN
    FOR emptied IN SELECT format('%I.%I', schemaname, tablename) FROM pg_catalog.pg_tables
                   WHERE schemaname = 'incoming' AND tablename ~ '^(users|behaviour|offers)_[0-9]+$' LOOP
        EXECUTE format('DELETE FROM %s WHERE user_id = $1', emptied) USING stored_id;
        GET DIAGNOSTICS row_count = ROW_COUNT;
        place := emptied;
        RETURN NEXT;
    END LOOP;
END $$;
