-- Monitoring reads the offers of a span of time, as it does quotes, behaviour and the market.
CREATE INDEX offers_by_time ON data.offers USING brin (offered_at);
