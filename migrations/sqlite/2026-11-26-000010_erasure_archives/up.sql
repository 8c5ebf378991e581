-- The archives that held anything of what an erasure is of: the column of migrations/postgres in SQLite's type.
ALTER TABLE erasures ADD COLUMN archives TEXT;
