CREATE SCHEMA pricing;

-- A row that broke a rule, kept whole. To release it: repair "row" and set released = true;
-- the next run validates it again and merges it or quarantines it anew.
CREATE TABLE pricing.quarantine (
    quarantine_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset        text NOT NULL,
    table_name     text NOT NULL,
    row_key        text NOT NULL,
    rule           text NOT NULL,
    origin         text NOT NULL,
    row_number     bigint,
    "row"          jsonb NOT NULL,
    released       boolean NOT NULL DEFAULT false,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (dataset, table_name, row_key)
);

CREATE TABLE pricing.books (
    book_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state         text NOT NULL DEFAULT 'staged' CHECK (state IN ('staged', 'published', 'dropped')),
    inputs_hash   text NOT NULL,          -- model version, snapshot, policy and currency: equal inputs, equal book
    dataset       text NOT NULL,
    snapshot_id   text NOT NULL REFERENCES data.snapshots,
    model_name    text NOT NULL,
    model_version integer NOT NULL,
    run_id        text NOT NULL,
    policy        jsonb NOT NULL,
    currency      text NOT NULL,
    terms         jsonb NOT NULL,         -- multipliers of the portfolio's limits, to price a later row alike
    personal_rows bigint,
    uniform_rows  bigint,
    content_hash  text,
    certificate   jsonb,
    disclosure    text,                   -- what a person who is shown a personal price must be told
    approver      text,
    staged_at     timestamptz NOT NULL DEFAULT now(),
    published_at  timestamptz,
    expires_at    timestamptz
);

CREATE TABLE pricing.personal_prices (
    book_id              bigint NOT NULL,
    user_id              text NOT NULL,
    product_id           text NOT NULL,
    price                numeric NOT NULL CHECK (price >= 0 AND price < 'Infinity'),
    lower                numeric NOT NULL,
    upper                numeric NOT NULL,
    purchase_probability double precision NOT NULL,
    elasticity           double precision NOT NULL,
    reasons              text[] NOT NULL,
    randomised           boolean NOT NULL,
    propensity           double precision,     -- density per unit of price / list price
    CHECK (price BETWEEN lower AND upper)
) PARTITION BY LIST (book_id);

CREATE TABLE pricing.uniform_prices (
    book_id    bigint NOT NULL,
    product_id text NOT NULL,
    price      numeric NOT NULL CHECK (price >= 0 AND price < 'Infinity'),
    lower      numeric NOT NULL,
    upper      numeric NOT NULL,
    list_price numeric NOT NULL,
    reasons    text[] NOT NULL,
    CHECK (price BETWEEN lower AND upper)
) PARTITION BY LIST (book_id);

-- The one row that says which book is live: going live and going back are an update of it.
CREATE TABLE pricing.live (
    singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    book_id          bigint NOT NULL REFERENCES pricing.books,
    previous_book_id bigint REFERENCES pricing.books
);

CREATE TABLE pricing.ledger (
    entry_id      bigint PRIMARY KEY,
    recorded_at   timestamptz NOT NULL,
    actor         text NOT NULL,
    action        text NOT NULL CHECK (action IN ('publish', 'rollback')),
    book_id       bigint NOT NULL REFERENCES pricing.books,
    details       jsonb NOT NULL,
    previous_hash text NOT NULL,
    hash          text NOT NULL
);

CREATE TABLE pricing.quotes (
    quote_id      uuid PRIMARY KEY,
    quoted_at     timestamptz NOT NULL,
    user_id       text NOT NULL,
    product_id    text NOT NULL,
    price         numeric NOT NULL,
    list_price    numeric NOT NULL,
    uniform_price numeric NOT NULL,
    source        text NOT NULL CHECK (source IN ('personal', 'uniform', 'list')),
    reasons       text[] NOT NULL,
    lower         numeric,
    upper         numeric,
    randomised    boolean NOT NULL,
    propensity    double precision,
    book_id       bigint,
    model_version integer
);

CREATE TABLE pricing.outcomes (
    quote_id    uuid PRIMARY KEY REFERENCES pricing.quotes,
    purchased   boolean NOT NULL,
    quantity    double precision NOT NULL CHECK (quantity > 0 AND quantity < 'Infinity'),
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pricing.events (
    event_id      uuid PRIMARY KEY,
    user_id       text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    kind          text NOT NULL,
    product_id    text,
    category      text,
    dwell_seconds double precision
);

CREATE FUNCTION pricing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pricing.ledger is append-only: % is refused', TG_OP;
END $$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pricing.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION pricing.refuse_change();

-- What a person reads.
CREATE VIEW pricing.price_books AS
SELECT books.book_id, books.state, live.book_id IS NOT NULL AS is_live, books.dataset, books.model_version,
       books.personal_rows, books.uniform_rows, books.currency, books.published_at, books.expires_at,
       books.snapshot_id, books.run_id, books.approver, books.content_hash
FROM pricing.books
LEFT JOIN pricing.live USING (book_id);

CREATE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, uniform.price AS uniform_price, uniform.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN pricing.personal_prices AS personal USING (book_id)
JOIN pricing.uniform_prices AS uniform USING (book_id, product_id);

CREATE VIEW pricing.price_lineage AS
SELECT prices.user_id, prices.product_id, prices.price, prices.book_id, books.model_name, books.model_version,
       books.run_id, books.snapshot_id, snapshots.dataset, snapshots.row_counts AS snapshot_rows,
       snapshots.validation AS data_validation, books.policy,
       books.certificate, books.approver, books.published_at
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN data.snapshots USING (snapshot_id)
JOIN LATERAL (
    SELECT user_id, product_id, price, book_id FROM pricing.personal_prices
    UNION ALL
    SELECT NULL, product_id, price, book_id FROM pricing.uniform_prices
) AS prices ON prices.book_id = live.book_id;

-- Roles: the owner holds the schema, the worker runs the flows, the storefront may call three functions.
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['pricing_owner', 'pricing_worker', 'pricing_storefront'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END $$;
