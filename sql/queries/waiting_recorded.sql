-- What a source tells as well as the storefront, under the same key, counts as the storefront recorded it.
DELETE FROM {waiting} AS told
USING {waiting} AS recorded
WHERE recorded.origin = %(recorded)s AND told.origin <> recorded.origin AND told.{key} = recorded.{key}
