-- The rows of a load before validation; unlogged, since a crash only means to collect again.
DROP TABLE IF EXISTS {waiting};
CREATE UNLOGGED TABLE {waiting} AS SELECT {columns} FROM {table} WITH NO DATA;
ALTER TABLE {waiting}
    ADD COLUMN waiting_id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN origin text,
    ADD COLUMN row_number bigint,
    ADD COLUMN quarantine_id bigint,
    ADD COLUMN rule text;
ALTER TABLE {waiting} OWNER TO pricing_worker;  -- whoever collects next may clear it away
