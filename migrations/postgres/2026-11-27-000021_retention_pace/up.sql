-- When the next batch of retention may go: one row, in which all replicas that keep a pace take their turns
-- (docs/adr/0043-one-pace.md). It locks nothing that there was before.

CREATE TABLE retention_pace (
    is_only boolean     NOT NULL DEFAULT true CONSTRAINT retention_pace_pkey PRIMARY KEY,
    next_at timestamptz NOT NULL,
    CONSTRAINT retention_pace_is_only_check CHECK (is_only)
);
