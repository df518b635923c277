-- A row released from quarantine gives way to a row of the source with the same key, but where only the released one
-- passes.
DELETE FROM {waiting} AS released USING {waiting} AS collected
WHERE released.quarantine_id IS NOT NULL AND collected.quarantine_id IS NULL
  AND ({released_key}) = ({collected_key})
  AND (collected.rule IS NULL OR released.rule IS NOT NULL)
