-- The index of our newest-first lists, and no index on the user alone.
ALTER TABLE conversations ADD COLUMN active_hour integer NOT NULL
    GENERATED ALWAYS AS (floor(date_part('epoch', updated_at AT TIME ZONE 'UTC') / 3600)::integer) STORED;
CREATE INDEX ON conversations (user_id, active_hour);
DROP INDEX conversations_user_id_idx;
