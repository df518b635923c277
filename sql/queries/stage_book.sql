INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy,
                           currency, disclosure, terms, priced_against, cold_start)
VALUES (%(inputs_hash)s, %(dataset)s, %(snapshot_id)s, %(model_name)s, %(model_version)s, %(run_id)s,
        %(policy)s, %(currency)s, %(disclosure)s, %(terms)s, %(priced_against)s, %(cold_start)s)
RETURNING book_id
