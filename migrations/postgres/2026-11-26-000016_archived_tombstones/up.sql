-- In a transaction of its own: it reads the whole table of tombstones once, and has no others to say (the column is new and
-- empty). Meanwhile nothing is purged, archived or erased; conversations are begun, read and appended to. Where
-- migration 13 made it, when it still did, nothing is done.
CREATE INDEX IF NOT EXISTS conversation_tombstones_archive_id_idx ON conversation_tombstones (archive_id)
    WHERE archive_id IS NOT NULL;

-- P6 as before, behind each insert. Only who restores a long conversation has it looked at when he commits: he lifts the
-- tombstone behind the last turn, so that nobody waits for his locks while turns come. One that is there then, by
-- whomever, refuses him.
DROP TRIGGER conversations_refuse_tombstoned ON conversations;
CREATE CONSTRAINT TRIGGER conversations_refuse_tombstoned AFTER INSERT ON conversations
    DEFERRABLE INITIALLY IMMEDIATE
    FOR EACH ROW EXECUTE FUNCTION refuse_tombstoned_conversation();
