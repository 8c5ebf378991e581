-- An entry for each conversation that has an id of its host's, not for all the others as well. In a transaction of its own:
-- it reads the table once, and writers wait meanwhile, up to their lock_timeout.
CREATE UNIQUE INDEX conversations_user_id_external_id_new ON conversations (user_id, external_id)
    WHERE external_id IS NOT NULL;
