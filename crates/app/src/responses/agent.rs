//! An agent whose model is asked anew for each turn, with the turns before it.

use std::sync::Arc;

use async_trait::async_trait;
use lcs_domain::agent::{
    Agent, AgentAnswer, AgentError, AgentFailure, AgentRequest, AnswerListener, AnswerOptions, Model,
};
use lcs_domain::{Payload, Turn};
use serde_json::{Value, json};

use super::history::History;
use super::message::{self, Attachments};
use super::model;
use super::server::{Question, Server};

/// An agent in one conversation.
pub(super) struct ResponsesAgent {
    server: Arc<Server>,
    model_id: String,
    system_prompt: Option<String>,
    history: History,
    /// What the newest turn was answered with, where that is known.
    last_model: Option<Model>,
    turn_count: u32,
}

impl ResponsesAgent {
    /// The agent of this configuration, behind `turns`: the newest of its conversation, in order.
    pub(super) fn new(
        server: Arc<Server>,
        agent_config: &Payload,
        turns: &[Turn],
    ) -> Result<Self, AgentError> {
        let agent_config = agent_config
            .to_value()
            .map_err(|_| AgentError::new("the stored configuration is not one of an agent"))?;
        let text = |key| agent_config.get(key).and_then(Value::as_str).map(str::to_owned);
        let max_turns = usize::try_from(server.config.history_turns).unwrap_or(usize::MAX);
        let mut history = History::new(max_turns, server.config.history_max_bytes);
        for turn in turns {
            history.push(&turn.input_messages, turn.output_message.as_ref());
        }
        Ok(Self {
            model_id: text("model_id").unwrap_or_else(|| server.config.model.clone()),
            system_prompt: text("system_prompt"),
            last_model: model::last_of(turns),
            turn_count: turns.last().map_or(0, |turn| turn.turn_number),
            history,
            server,
        })
    }
}

impl ResponsesAgent {
    /// The model to answer with: the one that is asked for, else the one that answered last, else the one
    /// that the conversation began with.
    async fn model(&self, options: &AnswerOptions) -> Model {
        match (&options.model, &options.provider) {
            (None, None) => match &self.last_model {
                Some(model) => model.clone(),
                None => self.server.model(&self.model_id).await,
            },
            (Some(name), None) => self.server.model(name).await,
            (name, Some(provider)) => model::named(name.as_deref().unwrap_or(&self.model_id), Some(provider)),
        }
    }
}

#[async_trait]
impl Agent for ResponsesAgent {
    async fn respond(
        &mut self,
        request: &AgentRequest,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        let asked = message::asked(&request.input_messages, Attachments::Sent).ok_or_else(|| {
            let reason = "the input is no list of messages with a role and a text in `content`";
            AgentError::of(AgentFailure::InvalidInput, reason)
        })?;
        let options = &request.options;
        let question = Question {
            input: self.history.items().cloned().chain(asked).collect(),
            instructions: options.system_prompt.clone().or_else(|| self.system_prompt.clone()),
            model: self.model(options).await,
            no_tools: options.no_tools,
        };
        let answer = self.server.answer(question, listener).await?;
        self.history.push(&request.input_messages, Some(&answer.output_message));
        self.last_model = model::of_usage(&answer.usage);
        self.turn_count = self.turn_count.saturating_add(1);
        Ok(answer)
    }

    /// How many turns it has seen. What was said in them is in the turns.
    fn snapshot(&self) -> Result<Payload, AgentError> {
        Payload::from_value(&json!({ "turns": self.turn_count })).map_err(|error| AgentError {
            source: Some(error.into()),
            ..AgentError::new("its state cannot be stored")
        })
    }
}
