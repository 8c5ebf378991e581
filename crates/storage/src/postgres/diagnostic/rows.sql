-- Counts what must not be: orphaned turns, heads that disagree with their turns, external ids of several
-- conversations, states that disagree with their conversation. The counts are of one snapshot.
SELECT
    (SELECT count(*) FROM conversation_turns t
      WHERE NOT EXISTS (SELECT FROM conversations c
                         WHERE c.conversation_id = t.conversation_id AND c.user_id = t.user_id)),
    (SELECT count(*) FROM conversations c
       LEFT JOIN (SELECT conversation_id, count(*) AS turns, max(turn_number) AS last
                    FROM conversation_turns GROUP BY conversation_id) t
         ON t.conversation_id = c.conversation_id
      WHERE c.turn_count <> COALESCE(t.turns, 0) OR c.turn_count <> COALESCE(t.last, 0)),
    (SELECT count(*) FROM (SELECT FROM conversations WHERE external_id IS NOT NULL
                            GROUP BY user_id, external_id HAVING count(*) > 1) d),
    (SELECT count(*) FROM agent_states s
      WHERE NOT EXISTS (SELECT FROM conversations c
                         WHERE c.conversation_id = s.conversation_id AND c.user_id = s.user_id
                           AND c.agent_id = s.agent_id AND c.state_revision >= s.revision
                           AND c.turn_count >= s.through_turn))
