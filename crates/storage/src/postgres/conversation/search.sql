-- The user's conversations whose topic, or one of whose turns, has all the words, and phrases word for word; newest first,
-- as summaries.sql.
-- $1 user_id  $2 words, with a space between them  $3 updated_at  $4 conversation_id (the place to go on behind; null: the
-- beginning)  $5 limit  $6 each word, or phrase, as a pattern
-- With the index of migrations/search.sql its words are asked once; without it the turns of each conversation are read,
-- from the newest on, until there are enough. The other way is planned and not taken. Under row-level security the index knows
-- only whose a turn is: then it is no help.
WITH state AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM pg_index
                    WHERE indexrelid = to_regclass('conversation_turns_words_idx') AND indisvalid)
           AND NOT row_security_active('conversation_turns') AS indexed
), found AS MATERIALIZED (
    SELECT t.conversation_id FROM conversation_turns t
     WHERE (SELECT indexed FROM state) AND t.user_id = $1
       AND conversation_turn_words(t.input_messages, t.output_message)
           @@ (SELECT string_agg(quote_literal(w.word), ' & ')::tsquery
                 FROM regexp_split_to_table(lower($2), '[^[:alnum:]]+') AS w (word) WHERE w.word <> '')
       AND conversation_turn_text(t.input_messages, t.output_message) ~* ALL ($6)
)
SELECT c.conversation_id, c.external_id, c.created_at, c.updated_at, c.status, c.model_id, c.turn_count,
       l.metadata, c.topic_summary
  FROM conversations c
  LEFT JOIN conversation_turns l
    ON l.user_id = $1 AND l.conversation_id = c.conversation_id AND l.turn_number = c.turn_count
 WHERE c.user_id = $1 AND c.status <> 'deleted'
   AND c.active_hour <= COALESCE(floor(date_part('epoch', $3 AT TIME ZONE 'UTC') / 3600)::integer, 2147483647)
   AND ($3 IS NULL OR c.updated_at < $3 OR (c.updated_at = $3 AND c.conversation_id > $4))
   AND (c.topic_summary ~* ALL ($6)
        OR CASE WHEN (SELECT indexed FROM state) THEN c.conversation_id IN (SELECT conversation_id FROM found)
                ELSE EXISTS (SELECT FROM conversation_turns t
                              WHERE t.user_id = $1 AND t.conversation_id = c.conversation_id
                                AND conversation_turn_text(t.input_messages, t.output_message) ~* ALL ($6)) END)
 ORDER BY c.active_hour DESC, c.updated_at DESC, c.conversation_id
 LIMIT $5
