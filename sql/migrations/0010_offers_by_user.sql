-- The offers made to a block of users, whose features are extracted together.
CREATE INDEX offers_by_user ON data.offers (dataset, user_id);
