-- HMAC-SHA-256 (RFC 2104) of a user's id in hexadecimal; null where no key was made.
CREATE OR REPLACE FUNCTION pricing.pseudonym(user_id text, key pricing.pseudonym_key) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN encode(sha256(key.outer_key || sha256(key.inner_key || convert_to(user_id, 'UTF8'))), 'hex');
END $$;

-- The name under which a user is stored: a pseudonym, or the id itself where no key was made. Who can read the tables
-- but not the key cannot tell whose rows they are, nor try ids out.
CREATE OR REPLACE FUNCTION pricing.stored_user_id(user_id text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE stored text;
BEGIN
    SELECT pricing.pseudonym(stored_user_id.user_id, key) INTO stored FROM pricing.pseudonym_key AS key;
    RETURN coalesce(stored, stored_user_id.user_id);
END $$;

-- From now on user ids are stored as pseudonyms. The key is made here and never leaves the database.
CREATE OR REPLACE FUNCTION pricing.begin_pseudonyms() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    padded bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        || decode(repeat('00', 32), 'hex');  -- 366 random bits in 32 bytes, filled up to a block
    inner_pad bytea := padded;
    outer_pad bytea := padded;
BEGIN
    LOCK TABLE pricing.pseudonym_key IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pricing.pseudonym_key) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM data.loads) OR EXISTS (SELECT FROM pricing.events) OR EXISTS (SELECT FROM pricing.quotes) THEN
        RAISE EXCEPTION 'this database holds user ids as they came: pseudonyms begin with an empty one'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR place IN 0..63 LOOP
        inner_pad := set_byte(inner_pad, place, get_byte(padded, place) # 54);  -- 0x36 and 0x5c of RFC 2104
        outer_pad := set_byte(outer_pad, place, get_byte(padded, place) # 92);
    END LOOP;
    INSERT INTO pricing.pseudonym_key (inner_key, outer_key) VALUES (inner_pad, outer_pad);
END $$;
