-- What puts work into pricing.reprice_queue, beside pricing.record_event, and wakes who waits for it.

CREATE OR REPLACE FUNCTION pricing.wake_repricing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NOTIFY reprice;
    RETURN NULL;
END $$;

-- Products of the live book whose market, cost, list price or stock has changed.
CREATE OR REPLACE FUNCTION pricing.queue_changed_products() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pricing.reprice_queue (product_id)
    SELECT DISTINCT changed.product_id
    FROM changed
    JOIN pricing.live ON true
    JOIN pricing.books ON books.book_id = live.book_id AND books.dataset = changed.dataset
    JOIN pricing.uniform_prices AS uniform
      ON uniform.book_id = live.book_id AND uniform.product_id = changed.product_id;
    RETURN NULL;
END $$;

-- Another book is live: it has not seen what was recorded and has not been collected yet, or was collected after its
-- own data (it was in review meanwhile, or is returned to), nor what market, costs and stock did after its data. Who
-- reprices meanwhile is waited for, by the table that they write, so that nobody prices for a book that has just gone.
CREATE OR REPLACE FUNCTION pricing.queue_unseen_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE pricing.repriced_personal IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO pricing.reprice_queue (user_id)
    SELECT DISTINCT events.user_id
    FROM pricing.live
    JOIN pricing.books USING (book_id)
    JOIN pricing.events ON events.dataset = books.dataset AND NOT events.collected
    UNION
    SELECT events.user_id
    FROM pricing.live
    JOIN pricing.books USING (book_id)
    JOIN data.snapshots USING (snapshot_id)
    JOIN pricing.events ON events.dataset = books.dataset AND events.recorded_at > snapshots.as_of;
    INSERT INTO pricing.reprice_queue (product_id)
    SELECT uniform.product_id
    FROM pricing.live
    JOIN pricing.books USING (book_id)
    JOIN data.snapshots USING (snapshot_id)
    JOIN pricing.uniform_prices AS uniform USING (book_id)
    WHERE EXISTS (SELECT FROM data.market
                  WHERE market.dataset = books.dataset AND market.product_id = uniform.product_id
                    AND market.observed_at > snapshots.as_of)
       OR EXISTS (SELECT FROM pricing.repriced_uniform AS repriced
                  WHERE repriced.book_id <> live.book_id AND repriced.product_id = uniform.product_id
                    AND repriced.repriced_at > snapshots.created_at);
    RETURN NULL;
END $$;

DO $$
DECLARE changing text;
BEGIN
    CREATE OR REPLACE TRIGGER waiting_work_wakes AFTER INSERT ON pricing.reprice_queue
        FOR EACH STATEMENT EXECUTE FUNCTION pricing.wake_repricing();
    CREATE OR REPLACE TRIGGER another_book_is_live AFTER INSERT OR UPDATE ON pricing.live
        FOR EACH STATEMENT EXECUTE FUNCTION pricing.queue_unseen_changes();
    FOREACH changing IN ARRAY ARRAY['market', 'products', 'inventory'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER new_rows_reprice AFTER INSERT ON data.%I REFERENCING NEW TABLE AS '
            'changed FOR EACH STATEMENT EXECUTE FUNCTION pricing.queue_changed_products()', changing);
        EXECUTE format('CREATE OR REPLACE TRIGGER changed_rows_reprice AFTER UPDATE ON data.%I REFERENCING NEW TABLE '
            'AS changed FOR EACH STATEMENT EXECUTE FUNCTION pricing.queue_changed_products()', changing);
    END LOOP;
END $$;
