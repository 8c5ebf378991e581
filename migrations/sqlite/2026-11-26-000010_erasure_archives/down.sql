ALTER TABLE erasures DROP COLUMN archives;
