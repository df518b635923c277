-- Whether the live book started cold, where it is of this version.
SELECT cold_start FROM pricing.live JOIN pricing.books USING (book_id) WHERE model_version = %(version)s
