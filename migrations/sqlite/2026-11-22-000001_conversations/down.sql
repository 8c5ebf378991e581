DROP TABLE conversation_tombstones;
DROP TABLE agent_states;
DROP TABLE conversation_turns;
DROP TABLE conversations;
