-- A user's history in time order: what feature extraction reads for a block of users.
CREATE INDEX behaviour_by_user ON data.behaviour (dataset, user_id, occurred_at);
