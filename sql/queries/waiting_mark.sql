-- Each failing row learns the rule it broke.
UPDATE {waiting} SET rule = broken.rule FROM broken WHERE {waiting}.waiting_id = broken.waiting_id
