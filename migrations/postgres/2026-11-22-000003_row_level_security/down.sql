-- Off first: without a policy, nobody would see anything.
ALTER TABLE requests NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE agent_states NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE conversation_turns NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY requests_user ON requests;
DROP POLICY agent_states_user ON agent_states;
DROP POLICY conversation_turns_user ON conversation_turns;
DROP POLICY conversations_user ON conversations;
