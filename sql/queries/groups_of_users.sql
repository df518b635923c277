-- The group each of these users belongs to; read to measure and bound unfairness, and for nothing else.
SELECT user_id,
       CASE WHEN %(group)s = 'protected_group' THEN protected_group ELSE attributes ->> %(group)s END AS user_group
FROM data.users
WHERE dataset = %(dataset)s AND user_id = ANY(%(users)s)
