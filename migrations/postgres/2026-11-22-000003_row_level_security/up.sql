-- Row-level security: to each user his own rows, whatever a statement asks for. These policies do nothing until
-- the operator switches row-level security on (docs/SECURITY.md). conversation_tombstones has none: it holds no
-- user's data, and a purged id is refused to whoever comes with it.
--
-- The sub-select is evaluated once a statement. Where no user is named, it fails: what cannot be seen must
-- not look as if it were not there. USING is what written rows are checked by as well.

CREATE POLICY conversations_user ON conversations
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));
CREATE POLICY conversation_turns_user ON conversation_turns
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));
CREATE POLICY agent_states_user ON agent_states
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));
CREATE POLICY requests_user ON requests
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));
