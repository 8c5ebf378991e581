-- P6 as before, behind each insert. Only who restores a long conversation has it looked at when he commits: he lifts the
-- tombstone behind the last turn, so that nobody waits for his locks while turns come. One that is there then, by
-- whomever, refuses him.
DROP TRIGGER conversations_refuse_tombstoned ON conversations;
CREATE CONSTRAINT TRIGGER conversations_refuse_tombstoned AFTER INSERT ON conversations
    DEFERRABLE INITIALLY IMMEDIATE
    FOR EACH ROW EXECUTE FUNCTION refuse_tombstoned_conversation();
