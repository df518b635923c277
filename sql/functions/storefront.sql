-- The three functions a storefront calls. They run as their owner, with a fixed search_path: where it does not name
-- pg_temp, the caller's own temporary types and tables would be found first. What they store of a user id is
-- pricing.stored_user_id of it.

CREATE OR REPLACE FUNCTION pricing.refuse_bad_id(kind text, id text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE  -- what the next collection takes: see tasks/data/conformity.py and expectations/behaviour.py
    longest integer := CASE kind WHEN 'kind' THEN 100 WHEN 'category' THEN 200 ELSE 256 END;
BEGIN
    IF id IS NULL OR id = '' OR length(id) > longest THEN
        RAISE EXCEPTION '% must be a text of 1 to % characters; got %', kind, longest,
            CASE WHEN id IS NULL THEN 'null' ELSE length(id) || ' characters' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- The list price of a product within its own floor and ceiling, which as text are the very numbers that are logged.
CREATE OR REPLACE FUNCTION pricing.listed_price(
    list_price double precision, floor double precision, ceiling double precision) RETURNS numeric
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
    SELECT least(greatest(list_price::numeric, floor::text::numeric), ceiling::text::numeric)
$$;

-- The live price of one product for one user: personal, else uniform, else list, which keeps the product's own floor and
-- ceiling as well. Every answer is logged. Each statement is one look-up by key: joined in fewer of them the same
-- look-ups take longer.
CREATE OR REPLACE FUNCTION pricing.quote(user_id text, product_id text)
RETURNS TABLE (price numeric, currency text, uniform_price numeric, list_price numeric, source text,
               reasons text[], disclosure text, expires_at timestamptz, book_id bigint, quote_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    book record;
    uniform pricing.repriced_uniform;
    personal pricing.repriced_personal;
    beside pricing.repriced_uniform;
    pool text;
    consent boolean;
    stands boolean;
BEGIN
    -- Asked here as well, because two calls that find nothing would be a fifth of a quote's time.
    IF (length(quote.user_id) BETWEEN 1 AND 256 AND length(quote.product_id) BETWEEN 1 AND 256) IS NOT TRUE THEN
        PERFORM pricing.refuse_bad_id('user_id', quote.user_id);
        PERFORM pricing.refuse_bad_id('product_id', quote.product_id);
    END IF;
    SELECT books.book_id, books.dataset, books.currency, books.model_version, books.disclosure, books.expires_at,
           coalesce(pricing.pseudonym(quote.user_id, key), quote.user_id) AS asking
    INTO book
    FROM pricing.live JOIN pricing.books ON books.book_id = live.book_id LEFT JOIN pricing.pseudonym_key AS key ON true;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no price book is live yet: publish one with `pricing run`'
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT prices.* INTO uniform FROM pricing.repriced_uniform AS prices
    WHERE prices.book_id = book.book_id AND prices.product_id = quote.product_id;
    IF NOT FOUND THEN
        SELECT prices.* INTO uniform FROM pricing.uniform_prices AS prices
        WHERE prices.book_id = book.book_id AND prices.product_id = quote.product_id;
    END IF;
    IF uniform.price IS NULL OR book.expires_at <= now() THEN
        reasons := CASE WHEN book.expires_at <= now() THEN ARRAY['book_expired']
                        WHEN uniform.product_id IS NULL THEN ARRAY['product_not_in_book']
                        ELSE uniform.reasons END;  -- withdrawn since: they say why
        pool := uniform.pool_id;  -- a sale counts against its stock, whatever sets the price
        uniform := NULL;
        uniform.pool_id := pool;
        SELECT products.list_price::numeric, products.floor, products.ceiling,
               pricing.listed_price(products.list_price, products.floor, products.ceiling)
        INTO list_price, uniform.floor, uniform.ceiling, price
        FROM data.products
        WHERE products.dataset = book.dataset AND products.product_id = quote.product_id;
        IF list_price IS NULL THEN
            RAISE EXCEPTION 'product % is unknown in dataset %', quote.product_id, book.dataset
                USING ERRCODE = 'no_data_found';
        END IF;
        source := 'list';
        uniform_price := price;
        reasons := reasons || CASE WHEN price < list_price THEN ARRAY['ceiling']
                                   WHEN price > list_price THEN ARRAY['floor'] END;
    ELSE
        list_price := uniform.list_price;
        uniform_price := uniform.price;
        -- Somebody no table knows has given no consent.
        SELECT coalesce(users.personalisation_consent, true) INTO consent FROM data.users
        WHERE users.dataset = book.dataset AND users.user_id = book.asking;
        IF consent THEN
            SELECT prices.* INTO personal FROM pricing.repriced_personal AS prices
            WHERE prices.book_id = book.book_id AND prices.user_id = book.asking
              AND prices.product_id = quote.product_id;
            IF NOT FOUND THEN
                SELECT prices.* INTO personal FROM pricing.personal_prices AS prices
                WHERE prices.book_id = book.book_id AND prices.user_id = book.asking
                  AND prices.product_id = quote.product_id;
            END IF;
        END IF;
        -- Once its product is priced anew, a personal price waits to be: meanwhile it stands where it keeps today's limits.
        stands := personal.uniform_repriced_at IS NOT DISTINCT FROM uniform.repriced_at;
        IF NOT stands AND personal.price BETWEEN uniform.personal_lower AND uniform.personal_upper THEN
            IF personal.uniform_repriced_at IS NULL THEN
                SELECT prices.* INTO beside FROM pricing.uniform_prices AS prices
                WHERE prices.book_id = book.book_id AND prices.product_id = quote.product_id;
            ELSE
                SELECT prices.* INTO beside FROM pricing.superseded_uniform AS prices
                WHERE prices.book_id = book.book_id AND prices.product_id = quote.product_id
                  AND prices.repriced_at = personal.uniform_repriced_at;
            END IF;
            IF (beside.list_price, beside.pool_id) IS NOT DISTINCT FROM (uniform.list_price, uniform.pool_id) THEN
                stands := true;
                uniform := beside;  -- what it was set from
                uniform_price := beside.price;
            END IF;
        END IF;
        IF personal.price IS NOT NULL AND stands THEN
            source := 'personal';
            price := personal.price;
            reasons := personal.reasons;
            disclosure := book.disclosure;
        ELSE
            source := 'uniform';
            price := uniform.price;
            reasons := uniform.reasons || CASE WHEN consent IS NOT TRUE THEN 'no_consent'
                                               WHEN personal.price IS NOT NULL THEN 'market_moved'
                                               ELSE 'no_personal_price' END
                || CASE WHEN personal.price IS NULL THEN personal.reasons END;  -- withdrawn since: they say why
            personal := NULL;
        END IF;
    END IF;

    currency := book.currency;
    expires_at := book.expires_at;
    book_id := book.book_id;
    -- Nobody guesses it: 62 bits and more are random. Where the server has ids that rise with time, new rows lie side
    -- by side in the index, and fewer of its pages are written.
    IF current_setting('server_version_num')::integer < 180000 THEN
        quote_id := gen_random_uuid();
    ELSE
        quote_id := uuidv7();
    END IF;
    INSERT INTO pricing.quotes VALUES (
        quote_id, clock_timestamp(), book.asking, quote.product_id, price, list_price, uniform_price, source, reasons,
        CASE source WHEN 'personal' THEN personal.lower WHEN 'uniform' THEN uniform.lower END,
        CASE source WHEN 'personal' THEN personal.upper WHEN 'uniform' THEN uniform.upper END,
        coalesce(personal.randomised, false), personal.propensity, book.book_id, book.model_version,
        uniform.unit_cost, uniform.floor, uniform.ceiling, uniform.pool_id, uniform.bid_price, uniform.sensitivity,
        uniform.valuation, uniform.live_price, personal.sensitivity, personal.valuation, personal.live_price,
        personal.live_propensity, CASE source WHEN 'personal' THEN personal.decided_at ELSE uniform.decided_at END);
    RETURN NEXT;
END $$;

-- One event of a user's behaviour: their live prices follow it within moments, and the next collection reads it. A
-- storefront that asks again, not knowing whether it was heard, gives the event's own id: told twice it counts once.
CREATE OR REPLACE FUNCTION pricing.record_event(
    user_id text, kind text, product_id text DEFAULT NULL, category text DEFAULT NULL,
    dwell_seconds double precision DEFAULT NULL, occurred_at timestamptz DEFAULT now(), event_id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text;
    live_dataset text;
    recorded uuid := coalesce(event_id, gen_random_uuid());
BEGIN
    PERFORM pricing.wait_for_disk();
    PERFORM pricing.refuse_bad_id('user_id', user_id);
    PERFORM pricing.refuse_bad_id('kind', kind);
    IF product_id IS NOT NULL THEN PERFORM pricing.refuse_bad_id('product_id', product_id); END IF;
    IF category IS NOT NULL THEN PERFORM pricing.refuse_bad_id('category', category); END IF;
    IF dwell_seconds < 0 OR dwell_seconds >= 'Infinity' THEN
        RAISE EXCEPTION 'dwell_seconds must be a number of seconds from 0; got %', dwell_seconds
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF occurred_at IS NULL OR NOT occurred_at BETWEEN '1970-01-01Z' AND now() + interval '1 minute' THEN
        RAISE EXCEPTION 'occurred_at must be a time of the past; got %', coalesce(occurred_at::text, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT books.dataset INTO live_dataset FROM pricing.live JOIN pricing.books USING (book_id);
    IF NOT FOUND THEN  -- no dataset would ever collect it
        RAISE EXCEPTION 'no price book is live yet: publish one with `pricing run`' USING ERRCODE = 'no_data_found';
    END IF;
    acting := pricing.stored_user_id(user_id);
    INSERT INTO pricing.events (event_id, user_id, occurred_at, kind, product_id, category, dwell_seconds, dataset)
    VALUES (recorded, acting, least(occurred_at, clock_timestamp()), kind, product_id, category, dwell_seconds,
            live_dataset)  -- a clock that is ahead would hide the event from the repricing that it wakes
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO pricing.reprice_queue (user_id) VALUES (acting);
    ELSIF NOT EXISTS (SELECT FROM pricing.events AS known
                      WHERE known.event_id = recorded AND known.user_id = acting
                        AND (known.kind, known.product_id)
                            IS NOT DISTINCT FROM (record_event.kind, record_event.product_id)) THEN
        RAISE EXCEPTION 'event % is another one already', recorded USING ERRCODE = 'unique_violation';
    END IF;
    RETURN recorded;
END $$;

-- What has been sold of each pool, each unit once: by the offers that are known, by quotes, less what those that are among
-- the offers count there, and to people who were forgotten since, of whom nothing but the number of units is known.
CREATE OR REPLACE VIEW pricing.sold_units AS
SELECT dataset, pool_id, user_id, coalesce(quantity, 1) AS units
FROM data.offers WHERE purchased AND pool_id IS NOT NULL
UNION ALL
SELECT books.dataset, outcomes.pool_id, quotes.user_id, outcomes.quantity - coalesce(known.units, 0)
FROM pricing.outcomes JOIN pricing.quotes USING (quote_id) JOIN pricing.books USING (book_id)
LEFT JOIN LATERAL (
    SELECT coalesce(offers.quantity, 1) AS units FROM data.offers
    WHERE offers.dataset = books.dataset AND offers.offer_id = outcomes.quote_id::text
      AND offers.pool_id = outcomes.pool_id AND offers.purchased) AS known ON true
WHERE purchased AND outcomes.pool_id IS NOT NULL
UNION ALL
SELECT dataset, pool_id, NULL, units FROM pricing.forgotten_units;

CREATE OR REPLACE FUNCTION pricing.units_sold(asked_dataset text, asked_pool_id text) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(units), 0) FROM pricing.sold_units WHERE dataset = asked_dataset AND pool_id = asked_pool_id
$$;

-- What became of a quote. With each twentieth of a pool's stock that has gone, and with its last unit, its products are
-- priced anew. Telling the same outcome again changes nothing; another one is refused. A storefront whose quotes do not
-- wait for the disk gives what it was quoted as well, so that a quote which a crash lost is recorded again.
CREATE OR REPLACE FUNCTION pricing.record_outcome(
    quote_id uuid, purchased boolean, quantity double precision DEFAULT 1,
    user_id text DEFAULT NULL, product_id text DEFAULT NULL, price numeric DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    asked record;
    sold double precision;
BEGIN
    IF purchased IS NULL OR quantity IS NULL OR NOT (quantity > 0 AND quantity < 'Infinity') THEN
        RAISE EXCEPTION 'an outcome needs purchased (true or false) and a quantity above 0; got %, %',
            record_outcome.purchased, record_outcome.quantity USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pricing.wait_for_disk();
    PERFORM pricing.refuse_bad_quote(user_id, product_id, price);
    IF NOT EXISTS (SELECT FROM pricing.quotes WHERE quote_id = record_outcome.quote_id) THEN
        PERFORM pricing.record_lost_quote(quote_id, user_id, product_id, price);
    END IF;
    PERFORM pricing.refuse_another_quote(quote_id, user_id, product_id, price);
    SELECT pool_id, dataset INTO asked
    FROM pricing.quotes JOIN pricing.books USING (book_id) WHERE quote_id = record_outcome.quote_id;
    INSERT INTO pricing.outcomes (quote_id, purchased, quantity, pool_id)
    VALUES (record_outcome.quote_id, record_outcome.purchased, record_outcome.quantity, asked.pool_id)
    ON CONFLICT DO NOTHING;
    IF FOUND AND record_outcome.purchased AND asked.pool_id IS NOT NULL THEN
        PERFORM FROM data.inventory WHERE dataset = asked.dataset AND pool_id = asked.pool_id
        ORDER BY product_id FOR NO KEY UPDATE;  -- one sale of a pool after the other, so that the last one is seen
        sold := pricing.units_sold(asked.dataset, asked.pool_id);
        INSERT INTO pricing.reprice_queue (product_id)
        SELECT product_id FROM data.inventory AS stock
        WHERE dataset = asked.dataset AND pool_id = asked.pool_id
          AND capacity > sold - record_outcome.quantity  -- not with a sale before
          AND (capacity <= sold
               OR floor(20 * sold / capacity) > floor(20 * (sold - record_outcome.quantity) / capacity)
                  AND EXISTS (  -- with more left than all requests would take, a unit is worth nothing still
                      SELECT FROM pricing.live JOIN pricing.bid_price_curves AS curve USING (book_id)
                      WHERE curve.pool_id = asked.pool_id
                        AND stock.capacity - sold < curve.units[cardinality(curve.units)]));
    END IF;
    IF EXISTS (SELECT FROM pricing.outcomes
               WHERE quote_id = record_outcome.quote_id
                 AND (purchased, quantity) IS DISTINCT FROM (record_outcome.purchased, record_outcome.quantity)) THEN
        RAISE EXCEPTION 'quote % has another outcome already', record_outcome.quote_id
            USING ERRCODE = 'unique_violation';
    END IF;
END $$;
