-- Whether at least so many entries wait in the queue; those that a transaction under way has taken are still among them.
SELECT count(*) = %(entries)s AS many_wait FROM (SELECT FROM pricing.reprice_queue LIMIT %(entries)s) AS entry
