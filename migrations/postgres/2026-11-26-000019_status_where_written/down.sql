LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE;
ALTER INDEX conversations_user_id_external_id_key RENAME TO conversations_user_id_external_id_new;
ALTER TABLE conversations
    ADD CONSTRAINT conversations_user_id_external_id_key UNIQUE (user_id, external_id),
    ADD CONSTRAINT conversations_status_check CHECK (status ~ '^(active|archived|deleted)$');
DROP TRIGGER conversations_refuse_unknown_status ON conversations;
DROP FUNCTION refuse_unknown_status();
