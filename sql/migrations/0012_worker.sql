-- Flows may run as a login that owns nothing: what waits for validation belongs to the role it is a member of, so that
-- one login clears away what another left behind.
DO $$
DECLARE waiting text;
BEGIN
    IF NOT pg_has_role('pricing_worker', 'USAGE') THEN  -- the owner may do what the worker may
        EXECUTE format('GRANT pricing_worker TO %I', current_user);
    END IF;
    GRANT USAGE, CREATE ON SCHEMA incoming TO pricing_worker;
    FOR waiting IN SELECT tablename FROM pg_tables WHERE schemaname = 'incoming' LOOP
        EXECUTE format('ALTER TABLE incoming.%I OWNER TO pricing_worker', waiting);
    END LOOP;
END $$;
