-- Which archive holds what is lost with this: restore what is to come back before.
DROP TABLE restorations;
DROP TABLE archives;
DROP INDEX conversation_tombstones_archive_id_idx;
ALTER TABLE conversation_tombstones DROP COLUMN archive_id;
