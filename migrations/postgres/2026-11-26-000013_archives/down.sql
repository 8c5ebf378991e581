-- Which archive holds what is lost with this: restore what is to come back before.
DROP TABLE restorations;
DROP TABLE archives;
ALTER TABLE conversation_tombstones DROP COLUMN archive_id;
