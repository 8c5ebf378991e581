DROP TRIGGER conversations_refuse_tombstoned ON conversations;
CREATE TRIGGER conversations_refuse_tombstoned AFTER INSERT ON conversations
    FOR EACH ROW EXECUTE FUNCTION refuse_tombstoned_conversation();
