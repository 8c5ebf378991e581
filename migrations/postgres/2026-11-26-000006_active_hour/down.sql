CREATE INDEX conversations_user_id_idx ON conversations (user_id);
ALTER TABLE conversations DROP COLUMN active_hour;
