-- In a transaction of its own: it reads the whole table of tombstones once, and has no others to say (the column is new and
-- empty). Meanwhile nothing is purged, archived or erased; conversations are begun, read and appended to. Where
-- migration 13 made it, when it still did, nothing is done.
CREATE INDEX IF NOT EXISTS conversation_tombstones_archive_id_idx ON conversation_tombstones (archive_id)
    WHERE archive_id IS NOT NULL;
