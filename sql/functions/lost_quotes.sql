-- Quotes need not wait for the disk, and a crash then loses the last of them. What is told of them is never lost, and
-- brings a lost one back. For the functions of the storefront alone: with the rights of who calls them.

-- What was told is on disk once its transaction has committed, also where the caller's quotes do not wait for it. Such
-- a commit takes all that was committed before to the disk: an outcome that is there has its exposure there.
CREATE OR REPLACE FUNCTION pricing.wait_for_disk() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- until the end of the caller's transaction
    END IF;
END $$;

-- What is told of a quote may be left out, and must else be something that could have been quoted.
CREATE OR REPLACE FUNCTION pricing.refuse_bad_quote(user_id text, product_id text, price numeric) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF user_id IS NOT NULL THEN PERFORM pricing.refuse_bad_id('user_id', user_id); END IF;
    IF product_id IS NOT NULL THEN PERFORM pricing.refuse_bad_id('product_id', product_id); END IF;
    IF price <= 0 OR price >= 'Infinity' OR length(price::text) > 50 THEN  -- nothing is greater than NaN
        RAISE EXCEPTION 'price must be a number above 0 of at most 50 digits; got %', left(price::text, 50)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- Who names another user, product or price speaks of another quote. Whose it is stays unsaid.
CREATE OR REPLACE FUNCTION pricing.refuse_another_quote(quote_id uuid, user_id text, product_id text, price numeric)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    another text;
BEGIN
    SELECT CASE WHEN known.user_id <> pricing.stored_user_id(refuse_another_quote.user_id)
                THEN 'user_id ' || refuse_another_quote.user_id
                WHEN known.product_id <> refuse_another_quote.product_id
                THEN 'product_id ' || refuse_another_quote.product_id
                WHEN known.price <> refuse_another_quote.price THEN 'price ' || refuse_another_quote.price END
    INTO another
    FROM pricing.quotes AS known WHERE known.quote_id = refuse_another_quote.quote_id;
    IF another IS NOT NULL THEN
        RAISE EXCEPTION 'quote % is not of %: tell its outcome with what was quoted, or by its id alone',
            quote_id, another USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- When a quote was given, as its id says; where the id is drawn without its time, now.
CREATE OR REPLACE FUNCTION pricing.time_of_quote(quote_id uuid) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('server_version_num')::integer < 180000 THEN  -- as in pricing.quote
        RETURN clock_timestamp();
    END IF;
    RETURN least(coalesce(uuid_extract_timestamp(quote_id), clock_timestamp()), clock_timestamp());
END $$;

-- A quote that a crash lost, by the storefront's word for it. The draw, the interval and the book of its price are lost
-- with it: what is told now is a price that was seen, beside what is known of the product today.
CREATE OR REPLACE FUNCTION pricing.record_lost_quote(quote_id uuid, user_id text, product_id text, price numeric)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    quoted_at timestamptz := pricing.time_of_quote(quote_id);
    today record;
BEGIN
    IF num_nulls(quote_id, user_id, product_id, price) > 0 THEN
        RAISE EXCEPTION 'quote % is unknown: where a crash lost it, give user_id, product_id and price as quoted',
            quote_id USING ERRCODE = 'no_data_found';
    ELSIF quoted_at < now() - interval '28 days' THEN  -- a price holds for a book's life, a week
        RAISE EXCEPTION 'quote % is unknown, and its id of %: a lost quote is recorded again for 28 days',
            quote_id, quoted_at USING ERRCODE = 'no_data_found';
    END IF;
    SELECT books.book_id, books.model_version, books.currency, uniform.pool_id,
           coalesce(uniform.unit_cost, products.unit_cost) AS unit_cost,
           coalesce(uniform.list_price, products.list_price::numeric) AS list_price,
           coalesce(uniform.price, pricing.listed_price(products.list_price, products.floor, products.ceiling))
               AS uniform_price
    INTO today
    FROM pricing.live
    JOIN pricing.books USING (book_id)
    JOIN data.products ON products.dataset = books.dataset AND products.product_id = record_lost_quote.product_id
    LEFT JOIN pricing.current_uniform AS uniform ON uniform.product_id = products.product_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'quote % is unknown, and so is product % in the dataset of the live book', quote_id, product_id
            USING ERRCODE = 'no_data_found';
    ELSIF price NOT BETWEEN today.list_price / 10 AND today.list_price * 10 THEN  -- cents for euros would be learnt
        RAISE EXCEPTION 'price must be within ten times and a tenth of the list price of product %, % %; got %',
            product_id, today.list_price, today.currency, price USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO pricing.quotes (quote_id, quoted_at, user_id, product_id, price, list_price, uniform_price, source,
                                reasons, randomised, book_id, model_version, unit_cost, pool_id)
    VALUES (quote_id, quoted_at, pricing.stored_user_id(user_id), product_id, price, today.list_price,
            today.uniform_price, 'told', ARRAY['exposure_lost'], false, today.book_id, today.model_version,
            today.unit_cost, today.pool_id)
    ON CONFLICT DO NOTHING;  -- it may be told twice at once
END $$;
