-- What has arrived in the dataset, or in its quarantine, is not collected again.
UPDATE pricing.events SET collected = true
WHERE dataset = %(dataset)s AND NOT collected
  AND (EXISTS (SELECT FROM data.behaviour WHERE dataset = %(dataset)s AND event_id = events.event_id::text)
       OR EXISTS (SELECT FROM pricing.quarantine WHERE dataset = %(dataset)s AND table_name = 'behaviour'
                  AND row_key = events.event_id::text));
UPDATE pricing.outcomes SET collected = true
WHERE NOT collected
  AND (EXISTS (SELECT FROM data.offers WHERE dataset = %(dataset)s AND offer_id = outcomes.quote_id::text)
       OR EXISTS (SELECT FROM pricing.quarantine WHERE dataset = %(dataset)s AND table_name = 'offers'
                  AND row_key = outcomes.quote_id::text))
