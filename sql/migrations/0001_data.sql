-- The six contract tables. A dataset is one source of tables (a shop); its rows never mix with another's.
-- Columns whose names start with attr_, context_, index_ or instrument_ are kept together in `attributes`.
CREATE SCHEMA data;
CREATE SCHEMA incoming;

CREATE TABLE data.users (
    dataset                 text NOT NULL,
    user_id                 text NOT NULL,
    personalisation_consent boolean,
    protected_group         text,
    attributes              jsonb,
    PRIMARY KEY (dataset, user_id)
);

CREATE TABLE data.products (
    dataset     text NOT NULL,
    product_id  text NOT NULL,
    title       text,
    description text,
    category    text,
    brand       text,
    image       bytea,
    list_price  double precision NOT NULL,
    unit_cost   double precision NOT NULL,
    floor       double precision,
    ceiling     double precision,
    attributes  jsonb,
    PRIMARY KEY (dataset, product_id)
);

CREATE TABLE data.behaviour (
    dataset       text NOT NULL,
    event_id      text NOT NULL,
    user_id       text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    kind          text NOT NULL,
    product_id    text,
    category      text,
    dwell_seconds double precision,
    PRIMARY KEY (dataset, event_id)
);

CREATE TABLE data.market (
    dataset          text NOT NULL,
    product_id       text NOT NULL,
    observed_at      timestamptz NOT NULL,
    competitor_price double precision,
    demand_index     double precision,
    supply_index     double precision,
    attributes       jsonb,
    PRIMARY KEY (dataset, product_id, observed_at)
);

CREATE TABLE data.inventory (
    dataset     text NOT NULL,
    pool_id     text NOT NULL,
    product_id  text NOT NULL,
    capacity    double precision NOT NULL,
    sells_from  timestamptz,
    sells_until timestamptz,
    PRIMARY KEY (dataset, pool_id, product_id)
);

CREATE TABLE data.offers (
    dataset    text NOT NULL,
    offer_id   text NOT NULL,
    user_id    text NOT NULL,
    product_id text NOT NULL,
    offered_at timestamptz NOT NULL,
    price      double precision NOT NULL,
    purchased  boolean NOT NULL,
    list_price double precision,
    unit_cost  double precision,
    floor      double precision,
    ceiling    double precision,
    quantity   double precision,
    pool_id    text,
    randomised boolean,
    propensity double precision,
    weight     double precision,
    attributes jsonb,
    PRIMARY KEY (dataset, offer_id)
);

-- One row a collection of a dataset. Its rows wait in incoming.<table>_<load_id> until validation
-- merges them into the tables above or refuses the batch, which leaves them there to be looked at.
CREATE TABLE data.loads (
    load_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset      text NOT NULL,
    currency     text NOT NULL,
    fingerprint  text,
    state        text NOT NULL CHECK (state IN ('collected', 'refused', 'merged')),
    row_counts   jsonb NOT NULL,
    validation   jsonb,
    collected_at timestamptz NOT NULL DEFAULT now()
);

-- The content of a dataset at one moment, named by a hash of its rows.
CREATE TABLE data.snapshots (
    snapshot_id text PRIMARY KEY,
    dataset     text NOT NULL,
    currency    text NOT NULL,
    row_counts  jsonb NOT NULL,
    as_of       timestamptz NOT NULL,   -- the newest time in the data
    validation  jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
