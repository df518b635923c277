-- Privileges, renewed with every migration: nothing to the public, three functions to the storefront.
DO $$
DECLARE
    prices text;
    opened text;
BEGIN
    REVOKE ALL ON SCHEMA pricing, data, incoming FROM PUBLIC;
    -- Who can make temporary objects can set traps for functions with more rights; flows need temporary tables.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %1$I FROM PUBLIC;'
        'GRANT TEMPORARY ON DATABASE %1$I TO pricing_worker', current_database());
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pricing FROM PUBLIC;
    GRANT USAGE ON SCHEMA pricing TO pricing_storefront;
    GRANT EXECUTE ON FUNCTION pricing.quote(text, text),
        pricing.record_event(text, text, text, text, double precision, timestamptz, uuid),
        pricing.record_outcome(uuid, boolean, double precision, text, text, numeric) TO pricing_storefront;
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
        pricing.forgotten, pricing.forgotten_units, pricing.required_approval FROM pricing_worker;
    -- What was quoted and answered stays as it was recorded, but for its having been collected.
    REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON pricing.quotes, pricing.outcomes FROM pricing_worker;
    GRANT UPDATE (collected) ON pricing.outcomes TO pricing_worker;
    -- Of a book a worker writes what it is made from; what it holds and how far it has come only functions write.
    REVOKE INSERT, UPDATE, DELETE ON pricing.books FROM pricing_worker;
    GRANT INSERT (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency, disclosure,
                  terms, priced_against, cold_start)
        ON pricing.books TO pricing_worker;
    REVOKE UPDATE, DELETE ON pricing.bid_price_curves FROM pricing_worker;
    REVOKE ALL ON pricing.pseudonym_key FROM pricing_worker;
    REVOKE EXECUTE ON FUNCTION pricing.approve(integer, bigint), pricing.require_approval(text),
        pricing.seal_book(bigint, jsonb) FROM pricing_worker;
    -- The prices of a book, once they are attached.
    FOR prices IN SELECT relid::regclass FROM pg_partition_tree('pricing.personal_prices')
                  UNION ALL SELECT relid::regclass FROM pg_partition_tree('pricing.uniform_prices') LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM pricing_worker', prices);
    END LOOP;
    -- Locks by number and large objects are open to everybody: with them who may only ask for prices could hold up who
    -- sets them, or fill the disk. Only a superuser can close them.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR opened IN SELECT oid::regprocedure FROM pg_proc
                      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(pg_(try_)?advisory_|lo_)' LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, pricing_worker', opened);
        END LOOP;
        FOR opened IN SELECT oid::regprocedure FROM pg_proc
                      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_' LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pricing_worker', opened);
        END LOOP;
    END IF;
    GRANT USAGE ON SCHEMA pricing TO pricing_reviewer;
    GRANT SELECT ON pricing.price_books, pricing.price_lineage, pricing.ledger TO pricing_reviewer;
    GRANT EXECUTE ON FUNCTION pricing.approve(integer, bigint) TO pricing_reviewer;
END $$;
