-- A user's prices change with each of his events: with room on its page a new version is found by the index as it is,
-- and the one before it is cleared away by the next writer rather than by vacuum.
ALTER TABLE pricing.repriced_personal SET (fillfactor = 50);
ALTER TABLE pricing.repriced_uniform SET (fillfactor = 50);
