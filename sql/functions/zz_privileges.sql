-- Privileges, renewed with every migration: nothing to the public, three functions to the storefront.
DO $$
DECLARE prices text;
BEGIN
    REVOKE ALL ON SCHEMA pricing, data, incoming FROM PUBLIC;
    -- Who can make temporary objects can set traps for functions with more rights; flows need temporary tables.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %1$I FROM PUBLIC;'
        'GRANT TEMPORARY ON DATABASE %1$I TO pricing_worker', current_database());
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pricing FROM PUBLIC;
    GRANT USAGE ON SCHEMA pricing TO pricing_storefront;
    GRANT EXECUTE ON FUNCTION pricing.quote(text, text),
        pricing.record_event(text, text, text, text, double precision, timestamptz),
        pricing.record_outcome(uuid, boolean, double precision) TO pricing_storefront;
    GRANT USAGE ON SCHEMA pricing, data, incoming TO pricing_worker;
    REVOKE CREATE ON SCHEMA pricing, data FROM pricing_worker;
    GRANT CREATE ON SCHEMA incoming TO pricing_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pricing, data, incoming TO pricing_worker;
    GRANT SELECT ON public.pricing_migrations TO pricing_worker, pricing_reviewer;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pricing TO pricing_worker;
    IF current_setting('server_version_num')::integer >= 170000 THEN  -- before, only autovacuum and the owner analyse
        GRANT MAINTAIN ON ALL TABLES IN SCHEMA data TO pricing_worker;
    END IF;
    -- What is live and why, who trained and who approved: only functions write it, and the worker does not approve.
    REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON pricing.live, pricing.ledger, pricing.trainings, pricing.approvals,
        pricing.forgotten FROM pricing_worker;
    -- Of a book a worker writes what it is made from and then what it holds, never who approved it.
    REVOKE INSERT, UPDATE, DELETE ON pricing.books FROM pricing_worker;
    GRANT INSERT (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency, disclosure,
                  terms, priced_against, cold_start),
        UPDATE (state, approval, review_until, personal_rows, uniform_rows, certificate, content_hash, published_at,
                expires_at)
        ON pricing.books TO pricing_worker;
    REVOKE ALL ON pricing.pseudonym_key FROM pricing_worker;
    REVOKE EXECUTE ON FUNCTION pricing.approve(integer) FROM pricing_worker;
    -- The prices of a book, once they are attached.
    FOR prices IN SELECT relid::regclass FROM pg_partition_tree('pricing.personal_prices')
                  UNION ALL SELECT relid::regclass FROM pg_partition_tree('pricing.uniform_prices') LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM pricing_worker', prices);
    END LOOP;
    GRANT USAGE ON SCHEMA pricing TO pricing_reviewer;
    GRANT SELECT ON pricing.price_books, pricing.price_lineage, pricing.ledger TO pricing_reviewer;
    GRANT EXECUTE ON FUNCTION pricing.approve(integer) TO pricing_reviewer;
END $$;
