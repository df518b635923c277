-- What puts work into pricing.reprice_queue, beside what a storefront tells, and wakes who waits for it.

CREATE OR REPLACE FUNCTION pricing.wake_repricing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NOTIFY reprice;
    RETURN NULL;
END $$;

-- The pool each product's stock comes from at a moment: the first that sells then.
CREATE OR REPLACE FUNCTION pricing.selling_pools(asked_dataset text, moment timestamptz)
RETURNS TABLE (product_id text, pool_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT stock.product_id, min(stock.pool_id) FROM data.inventory AS stock
    WHERE dataset = asked_dataset AND coalesce(sells_from <= moment, true) AND coalesce(sells_until > moment, true)
    GROUP BY stock.product_id
$$;

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

-- For make_live alone: another book is live. It has not seen what was recorded and has not been collected yet, or was
-- collected after its own data (it was in review meanwhile, or is returned to), nor what market, costs and stock did
-- after its data. Who reprices meanwhile is waited for, by the table that they write, so that nobody prices for a book
-- that has just gone.
CREATE OR REPLACE FUNCTION pricing.queue_unseen(live_book_id bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    book record;
BEGIN
    LOCK TABLE pricing.repriced_personal IN SHARE ROW EXCLUSIVE MODE;
    SELECT books.dataset, snapshots.as_of, snapshots.created_at INTO book
    FROM pricing.books JOIN data.snapshots USING (snapshot_id)
    WHERE book_id = live_book_id;
    INSERT INTO pricing.reprice_queue (user_id)
    SELECT DISTINCT user_id FROM pricing.events
    WHERE dataset = book.dataset AND (NOT collected OR recorded_at > book.as_of);
    INSERT INTO pricing.reprice_queue (product_id)
    SELECT product_id FROM pricing.uniform_prices AS uniform
    WHERE book_id = live_book_id
      AND (EXISTS (SELECT FROM data.market
                   WHERE dataset = book.dataset AND market.product_id = uniform.product_id
                     AND observed_at > book.as_of)
           OR EXISTS (SELECT FROM pricing.repriced_uniform AS repriced
                      WHERE repriced.book_id <> live_book_id AND repriced.product_id = uniform.product_id
                        AND repriced_at > book.created_at));
END $$;

DO $$
DECLARE changing text;
BEGIN
    CREATE OR REPLACE TRIGGER waiting_work_wakes AFTER INSERT ON pricing.reprice_queue
        FOR EACH STATEMENT EXECUTE FUNCTION pricing.wake_repricing();
    FOREACH changing IN ARRAY ARRAY['market', 'products', 'inventory'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER new_rows_reprice AFTER INSERT ON data.%I REFERENCING NEW TABLE AS '
            'changed FOR EACH STATEMENT EXECUTE FUNCTION pricing.queue_changed_products()', changing);
        EXECUTE format('CREATE OR REPLACE TRIGGER changed_rows_reprice AFTER UPDATE ON data.%I REFERENCING NEW TABLE '
            'AS changed FOR EACH STATEMENT EXECUTE FUNCTION pricing.queue_changed_products()', changing);
    END LOOP;
END $$;
