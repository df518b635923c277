-- Privileges, renewed with every migration: nothing to the public, three functions to the storefront.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA pricing, data, incoming FROM PUBLIC;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pricing FROM PUBLIC;
    GRANT USAGE ON SCHEMA pricing TO pricing_storefront;
    GRANT EXECUTE ON FUNCTION pricing.quote(text, text),
        pricing.record_event(text, text, text, text, double precision, timestamptz),
        pricing.record_outcome(uuid, boolean, double precision) TO pricing_storefront;
    GRANT USAGE, CREATE ON SCHEMA pricing, data, incoming TO pricing_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pricing, data, incoming TO pricing_worker;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pricing TO pricing_worker;
    -- What is live and why, who trained and who approved: only functions write it, and the worker does not approve.
    REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON pricing.live, pricing.ledger, pricing.trainings, pricing.approvals,
        pricing.forgotten FROM pricing_worker;
    REVOKE EXECUTE ON FUNCTION pricing.approve(integer) FROM pricing_worker;
    GRANT USAGE ON SCHEMA pricing TO pricing_reviewer;
    GRANT SELECT ON pricing.price_books, pricing.price_lineage, pricing.ledger TO pricing_reviewer;
    GRANT EXECUTE ON FUNCTION pricing.approve(integer) TO pricing_reviewer;
END $$;
