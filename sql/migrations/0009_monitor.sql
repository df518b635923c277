-- What monitoring raised: each alarm once, however often the same window is looked at.
CREATE TABLE pricing.alarms (
    model_version   integer NOT NULL,
    window_ended_at timestamptz NOT NULL,
    action          text NOT NULL CHECK (action IN ('retrain', 'warn', 'roll_back')),
    checks          text[] NOT NULL,
    book_id         bigint NOT NULL REFERENCES pricing.books,
    raised_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_version, window_ended_at, action)
);

-- Rows arrive almost in the order of their times, so a range of times is a range of pages.
CREATE INDEX quotes_by_time ON pricing.quotes USING brin (quoted_at);
CREATE INDEX behaviour_by_time ON data.behaviour USING brin (occurred_at);
CREATE INDEX market_by_time ON data.market USING brin (observed_at);
