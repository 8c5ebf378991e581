//! Agents whose model is behind an OpenAI-compatible Responses API, as OGX (Llama Stack), OpenAI and vLLM
//! serve it: `POST {base_url}/responses`.
//!
//! The server keeps nothing: each request carries the conversation's newest turns as they are stored here,
//! so that an agent that was made again asks the very same as one that has been live all along. A model is
//! asked once for each turn; whether to ask again is the caller's to decide.
//!
//! Models are named as LCS names them, by provider and name; see [`UNNAMED_PROVIDER`] for how that becomes
//! the one id that the server knows.

mod agent;
mod answer;
mod failure;
mod history;
mod message;
mod model;
mod server;
mod stream;
pub(crate) mod tool;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::agent::{Agent, AgentError, AgentRuntime, Model, StoredAgent};
use lcs_domain::{Conversation, Payload, Text};
use secrecy::SecretString;
use serde_json::json;

use self::agent::ResponsesAgent;
pub use self::model::UNNAMED_PROVIDER;
use self::server::Server;

/// Where the model is, and how it is asked.
#[derive(Debug, Clone)]
pub struct ResponsesConfig {
    /// What stands before `/responses` in the address: `http://localhost:8321/v1`.
    pub base_url: String,
    /// Sent as the bearer token, where there is one.
    pub api_key: Option<SecretString>,
    /// The model that a new conversation begins with.
    pub model: String,
    /// Whose model that is, where the server knows its models as `provider/model`.
    pub provider: Option<String>,
    /// The certificates that the server's is checked against; `None`: the system's.
    pub ca_cert_path: Option<PathBuf>,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// How long the server may be silent: until its answer begins, and between two events of it.
    pub idle_timeout: Duration,
    /// How long a whole answer may take.
    pub request_timeout: Duration,
    /// How many of the newest turns the model sees again. An agent that is made again is given as many
    /// as `Configuration::recent_turns` says: this must not be more.
    pub history_turns: u32,
    /// How many bytes of JSON those turns may have together; older ones are left out first.
    pub history_max_bytes: usize,
    /// How large an answer may get, in bytes of JSON. It is cut there, and marked as truncated.
    pub max_output_bytes: usize,
}

impl ResponsesConfig {
    /// The documented defaults, for this server and model.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            provider: None,
            ca_cert_path: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            request_timeout: Duration::from_mins(5),
            history_turns: 20,
            history_max_bytes: 256 * 1024,
            max_output_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Makes agents that answer with a model behind a Responses API.
#[derive(Debug)]
pub struct ResponsesRuntime {
    server: Arc<Server>,
}

impl ResponsesRuntime {
    /// # Errors
    /// Where the address is none, or the certificates cannot be read. The server is not called.
    pub fn new(config: ResponsesConfig) -> Result<Self, AgentError> {
        Ok(Self { server: Arc::new(Server::new(config)?) })
    }
}

#[async_trait]
impl AgentRuntime for ResponsesRuntime {
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError> {
        let config = json!({
            "runtime": "responses",
            "model_id": conversation.model_id,
            "system_prompt": conversation.system_prompt,
        });
        Payload::from_value(&config).map_err(|error| AgentError {
            source: Some(error.into()),
            ..AgentError::new("its configuration cannot be stored")
        })
    }

    async fn make(&self, agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError> {
        Ok(Box::new(ResponsesAgent::new(Arc::clone(&self.server), agent_config, &[])?))
    }

    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError> {
        // The turns hold all that it remembers: its state tells nothing that they do not.
        let agent =
            ResponsesAgent::new(Arc::clone(&self.server), &stored.agent_config, &stored.recent_turns)?;
        Ok(Box::new(agent))
    }

    /// The configured model first, then the others that the server lists.
    async fn models(&self) -> Result<Vec<Model>, AgentError> {
        self.server.models().await
    }

    async fn topic(&self, model_id: &Text, question: &str) -> Result<Option<String>, AgentError> {
        self.server.topic(model_id, question).await
    }
}
