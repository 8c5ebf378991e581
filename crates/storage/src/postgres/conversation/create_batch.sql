-- Makes conversations, each as create.sql makes one: a row for each that was made. The binds are columns, an
-- element for each conversation.
-- $1 conversation_id  $2 user_id  $3 agent_id  $4 model_id  $5 system_prompt  $6 metadata
-- $7 topic_summary  $8 external_id
-- In the order of their ids: two replicas that make the same ones wait for each other in that order. An insert cannot
-- skip what another transaction is inserting, as the appends skip what is locked: the batch waits for it.
INSERT INTO conversations (
    conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, metadata,
    topic_summary, external_id)
SELECT i.conversation_id, i.user_id, i.agent_id, i.model_id, i.system_prompt, at.now, at.now, i.metadata,
       i.topic_summary, i.external_id
  -- From sub-selects, so that no plan depends on how many there are: it is made once a connection.
  FROM unnest((SELECT $1), (SELECT $2), (SELECT $3), (SELECT $4), (SELECT $5), (SELECT $6), (SELECT $7), (SELECT $8))
           AS i (conversation_id, user_id, agent_id, model_id, system_prompt, metadata, topic_summary, external_id),
       (SELECT clock_timestamp()) AS at (now)
 ORDER BY i.conversation_id
ON CONFLICT DO NOTHING
RETURNING conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
          metadata, turn_count, state_revision, topic_summary, external_id
