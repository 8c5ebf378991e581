-- The archives that held anything of what an erasure is of, noted before they are written anew or deleted: its certificate
-- names them also where it was stopped in between. JSON; null: there were none.
ALTER TABLE erasures ADD COLUMN archives text;
