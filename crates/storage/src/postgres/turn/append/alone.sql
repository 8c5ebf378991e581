-- Appends a turn where nothing stands against it, else does nothing: gives a row if it was appended.
-- $1 user_id  $2 conversation_id  $3 turn_id  $4 content_hash
-- $5 input_messages  $6 input_messages_sealed  $7 output_message  $8 output_message_sealed
-- $9 started_at  $10 completed_at  $11 metadata
-- $12 expected_turn_count (null: any number)
WITH head AS (
    -- The update locks the row and decides on what it holds then. clock_timestamp(), not now(): what has
    -- waited for the lock is stamped when it writes, so that a cleaner that began meanwhile sees it as awake.
    UPDATE conversations
       SET turn_count = turn_count + 1, updated_at = GREATEST(updated_at, clock_timestamp())
     WHERE user_id = $1 AND conversation_id = $2 AND status = 'active'
       AND ($12 IS NULL OR turn_count = $12)
    RETURNING turn_count, state_revision
)
-- A turn that is there already is refused by its key, and the head stays where it is.
INSERT INTO conversation_turns (
    turn_id, conversation_id, user_id, turn_number, input_messages, input_messages_sealed,
    output_message, output_message_sealed, started_at, completed_at, metadata, content_hash)
SELECT $3, $2, $1, head.turn_count, $5, $6, $7, $8, $9, $10, $11, $4 FROM head
RETURNING turn_number, (SELECT state_revision FROM head)
