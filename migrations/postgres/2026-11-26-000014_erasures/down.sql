DROP INDEX conversation_tombstones_user_hash_idx;
DROP TABLE erasures;
