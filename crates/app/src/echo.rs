//! The built-in agent: it needs no model, and what it remembers is real.
//!
//! It counts the turns, and remembers what it is told in the form "my NAME is VALUE"; asked "what is my
//! NAME?" it answers from memory. So anybody can see whether an agent was rehydrated or made anew.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lcs_domain::agent::{
    Agent, AgentAnswer, AgentError, AgentFailure, AgentRequest, AgentRuntime, AnswerListener, AnswerPiece,
    Model, StoredAgent, Usage,
};
use lcs_domain::{Conversation, Payload, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The name of the built-in model, and of its provider.
pub const MODEL: &str = "echo";

/// How many characters of the first question make a conversation's topic.
const TOPIC_CHARACTERS: usize = 80;

/// How many words are said before others may run.
const WORDS_AT_ONCE: usize = 256;

/// Makes echo agents.
#[derive(Debug, Clone, Copy, Default)]
pub struct EchoRuntime;

#[async_trait]
impl AgentRuntime for EchoRuntime {
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError> {
        payload(&json!({
            "runtime": "echo",
            "model_id": conversation.model_id,
            "system_prompt": conversation.system_prompt,
        }))
    }

    async fn make(&self, _agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError> {
        Ok(Box::new(EchoAgent::default()))
    }

    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError> {
        let mut memory: Memory = match &stored.current_state {
            Some(state) => serde_json::from_str(state.as_json()).map_err(|_| {
                let reason =
                    "the stored state is not one of an echo agent: delete it, and the agent is made again";
                AgentError::of(AgentFailure::UnknownState, reason)
            })?,
            None => Memory::default(),
        };
        for turn in &stored.missed_turns {
            // A host may have stored a turn in another form: it counts, and there is nothing to learn from it.
            memory.hear(&last_text(&turn.input_messages).unwrap_or_default());
        }
        Ok(Box::new(EchoAgent { memory }))
    }

    async fn models(&self) -> Result<Vec<Model>, AgentError> {
        Ok(vec![Model { name: MODEL.to_owned(), provider: MODEL.to_owned() }])
    }

    async fn topic(&self, _model_id: &Text, question: &str) -> Result<Option<String>, AgentError> {
        let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Some(line.chars().take(TOPIC_CHARACTERS).collect()).filter(|line: &String| !line.is_empty()))
    }
}

/// Its tokens are words.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// An agent that answers from what it was told in this conversation.
#[derive(Debug, Default)]
pub struct EchoAgent {
    memory: Memory,
}

/// What an echo agent remembers: its stored state.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    turns: u64,
    facts: BTreeMap<String, String>,
}

impl Memory {
    /// Takes in what the user said, and answers it.
    fn hear(&mut self, text: &str) -> String {
        self.turns += 1;
        let said = text.trim().trim_end_matches(['.', '!', '?']).trim();
        let lower = said.to_lowercase();
        if let Some(name) = lower.strip_prefix("what is my ").or_else(|| lower.strip_prefix("what's my ")) {
            return match self.facts.get(name.trim()) {
                Some(value) => format!("Your {} is {value}.", name.trim()),
                None => format!("You have not told me your {} yet.", name.trim()),
            };
        }
        if let Some((name, value)) = fact(said) {
            let answer = format!("I will remember that your {name} is {value}.");
            self.facts.insert(name, value);
            return answer;
        }
        format!("You said: {} (turn {} of our conversation)", text.trim(), self.turns)
    }
}

/// The name and value in "my NAME is VALUE".
fn fact(said: &str) -> Option<(String, String)> {
    let (begin, rest) = said.split_once(char::is_whitespace)?;
    if !begin.eq_ignore_ascii_case("my") {
        return None;
    }
    let (name, value) = rest.split_once(" is ")?;
    Some((name.trim().to_lowercase(), value.trim().to_owned()))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

#[async_trait]
impl Agent for EchoAgent {
    async fn respond(
        &mut self,
        request: &AgentRequest,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        let options = &request.options;
        if [&options.model, &options.provider].into_iter().flatten().any(|name| name != MODEL) {
            return Err(AgentError::of(AgentFailure::ModelNotFound, "the echo agent has one model: echo"));
        }
        let question = last_text(&request.input_messages)?;
        let answer = self.memory.hear(&question);
        for (position, word) in answer.split_inclusive(' ').enumerate() {
            if position % WORDS_AT_ONCE == WORDS_AT_ONCE - 1 {
                // A long answer leaves the thread to others, and can be stopped.
                tokio::task::yield_now().await;
            }
            listener.hear(AnswerPiece::Text(word.to_owned()));
        }
        let usage = Usage {
            model: Some(MODEL.to_owned()),
            provider: Some(MODEL.to_owned()),
            input_tokens: Some(words(&question)),
            output_tokens: Some(words(&answer)),
        };
        let output_message = payload(&json!({ "role": "assistant", "content": answer }))?;
        Ok(AgentAnswer { output_message, usage })
    }

    fn snapshot(&self) -> Result<Payload, AgentError> {
        payload(&self.memory)
    }
}

fn payload<T: Serialize>(value: &T) -> Result<Payload, AgentError> {
    Payload::from_serialize(value).map_err(|error| AgentError {
        source: Some(error.into()),
        ..AgentError::new("its answer cannot be stored")
    })
}

/// The text of the last message in `[{"role": ..., "content": ...}, ...]`.
fn last_text(input_messages: &Payload) -> Result<String, AgentError> {
    let value: Value = serde_json::from_str(input_messages.as_json())
        .map_err(|_| AgentError::new("the input is not a JSON document"))?;
    value
        .as_array()
        .and_then(|messages| messages.last())
        .and_then(|message| message.get("content"))
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| {
            let reason = "the input is no list of messages with a text in `content`";
            AgentError::of(AgentFailure::InvalidInput, reason)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcs_domain::agent::AnswerOptions;

    struct Silence;

    impl AnswerListener for Silence {
        fn hear(&self, _piece: AnswerPiece) {}
    }

    fn asked(json: &str) -> AgentRequest {
        AgentRequest { input_messages: Payload::parse(json).unwrap(), options: AnswerOptions::default() }
    }

    #[test]
    fn it_remembers_what_it_is_told() {
        let mut memory = Memory::default();
        assert_eq!(
            memory.hear("what is my favourite colour?"),
            "You have not told me your favourite colour yet."
        );
        assert_eq!(
            memory.hear("My favourite colour is teal."),
            "I will remember that your favourite colour is teal."
        );
        assert_eq!(memory.hear(" What is my favourite colour? "), "Your favourite colour is teal.");
        assert_eq!(memory.hear("hello"), "You said: hello (turn 4 of our conversation)");
        assert_eq!(memory.hear("my is"), "You said: my is (turn 5 of our conversation)");
    }

    #[test]
    fn odd_text_is_echoed() {
        for text in ["", "my", "my ", "MY x is", "what is my ?", "\u{0}", "mı is ıs is"] {
            let _ = Memory::default().hear(text);
        }
    }

    #[tokio::test]
    async fn a_rehydrated_agent_is_the_same_agent() {
        let say = |text: &str| asked(&json!([{ "role": "user", "content": text }]).to_string());
        let mut agent = EchoAgent::default();
        agent.respond(&say("my name is Ada"), &Silence).await.unwrap();
        let stored = StoredAgent {
            agent_config: Payload::parse("{}").unwrap(),
            current_state: Some(agent.snapshot().unwrap()),
            missed_turns: Vec::new(),
            recent_turns: Vec::new(),
        };
        let mut again = EchoRuntime.rehydrate(stored).await.unwrap();
        let answer = again.respond(&say("what is my name?"), &Silence).await.unwrap().output_message;
        assert!(answer.as_json().contains("Your name is Ada."), "{}", answer.as_json());
    }

    #[tokio::test]
    async fn an_input_without_text_is_an_error_not_a_guess() {
        for json in ["{}", "[]", "[1]", r#"[{"content":1}]"#, "null"] {
            let error = EchoAgent::default().respond(&asked(json), &Silence).await.unwrap_err();
            assert!(error.to_string().contains("list of messages"), "{json}: {error}");
        }
    }
}
