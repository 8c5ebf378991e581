//! The server with the models: what it is asked, and what it answers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lcs_domain::Text;
use lcs_domain::agent::{AgentAnswer, AgentError, AgentFailure, AnswerListener, AnswerPiece, Model};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::answer::Incoming;
use super::{ResponsesConfig, failure, model, stream};
use crate::endpoint::{Endpoint, EndpointConfig};

/// What errors call the server.
const NAME: &str = "the model's server";
/// How much of a refusal is read, to see what kind it is.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// How long a list of models may be.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;
/// How long the list of models is taken for what it is.
const LIST_AGE: Duration = Duration::from_mins(1);
/// How much of a question is shown to find its topic.
const MAX_TOPIC_QUESTION: usize = 4_000;
/// How many characters a topic has at the most.
const MAX_TOPIC: usize = 120;
const TOPIC_INSTRUCTIONS: &str = "Give the topic of the user's message as a short title of at most eight words. \
                                  Answer with the title alone: no quotes, no full stop. Do not answer the message.";

/// The server with the models.
pub(super) struct Server {
    endpoint: Endpoint,
    pub(super) config: ResponsesConfig,
    list: Mutex<Option<(Instant, Arc<[Model]>)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("model", &self.config.model).finish_non_exhaustive()
    }
}

/// What one answer is made of.
pub(super) struct Question {
    pub(super) input: Vec<Value>,
    pub(super) instructions: Option<String>,
    pub(super) model: Model,
    pub(super) no_tools: bool,
}

impl Server {
    pub(super) fn new(config: ResponsesConfig) -> Result<Self, AgentError> {
        let endpoint = Endpoint::new(&EndpointConfig {
            name: NAME,
            base_url: &config.base_url,
            api_key: config.api_key.as_ref(),
            ca_cert_path: config.ca_cert_path.as_ref(),
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
        })?;
        Ok(Self { endpoint, config, list: Mutex::default() })
    }

    /// Has the question answered, once.
    pub(super) async fn answer(
        &self,
        question: Question,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        let mut body = json!({
            "model": model::id(&question.model),
            "input": question.input,
            "stream": true,
            // The history is ours: the server keeps none.
            "store": false,
        });
        if let Some(instructions) = question.instructions {
            set(&mut body, "instructions", instructions.into());
        }
        if question.no_tools {
            set(&mut body, "tools", json!([]));
        }
        let mut incoming = Incoming::new(listener, question.model, self.config.max_output_bytes);
        self.within_time(self.ask(&body, &mut incoming)).await?;
        incoming.answer()
    }

    /// What a conversation that begins with `question` is about.
    pub(super) async fn topic(&self, model_id: &Text, question: &str) -> Result<Option<String>, AgentError> {
        let shown: String = question.chars().take(MAX_TOPIC_QUESTION).collect();
        if shown.trim().is_empty() {
            return Ok(None);
        }
        let model = self.model(model_id.as_str()).await;
        let body = json!({
            "model": model::id(&model),
            "input": [{ "role": "user", "content": shown }],
            "instructions": TOPIC_INSTRUCTIONS,
            "stream": false,
            "store": false,
            "tools": [],
        });
        let mut incoming = Incoming::new(&Nobody, model, MAX_REFUSAL_BYTES);
        self.within_time(self.ask(&body, &mut incoming)).await?;
        let message = incoming.answer()?.output_message.to_value().unwrap_or_default();
        let line = message.get("content").and_then(Value::as_str).and_then(|text| {
            text.lines()
                .map(|line| line.trim().trim_matches(['"', '\'', '*', '.', '#', ' ']))
                .find(|line| !line.is_empty())
        });
        Ok(line.map(|line| line.chars().filter(|c| !c.is_control()).take(MAX_TOPIC).collect()))
    }

    /// The configured model, then the others that the server lists; it alone where the server has no list.
    pub(super) async fn models(&self) -> Result<Vec<Model>, AgentError> {
        let ours = model::default(&self.config);
        let id = model::id(&ours);
        let listed = self.listed().await?;
        let others = listed.iter().filter(|listed| model::id(listed) != id).cloned();
        Ok(std::iter::once(ours).chain(others).collect())
    }

    /// The model that is called `name`. Where the server has no list to look into, that is its id.
    pub(super) async fn model(&self, name: &str) -> Model {
        if model::is_default(&self.config, name) {
            return model::default(&self.config);
        }
        let listed = self.listed().await.unwrap_or_default();
        model::called(&self.config, name, &listed)
    }

    /// The server's own list, not older than [`LIST_AGE`].
    async fn listed(&self) -> Result<Arc<[Model]>, AgentError> {
        let kept =
            self.list().as_ref().filter(|(at, _)| at.elapsed() < LIST_AGE).map(|(_, list)| list.clone());
        if let Some(list) = kept {
            return Ok(list);
        }
        let list: Arc<[Model]> = self.within_time(self.ask_for_list()).await?.into();
        *self.list() = Some((Instant::now(), list.clone()));
        Ok(list)
    }

    fn list(&self) -> MutexGuard<'_, Option<(Instant, Arc<[Model]>)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_for_list(&self) -> Result<Vec<Model>, AgentError> {
        let request = self.endpoint.request(Method::GET, &["models"], &[], None);
        let response = self.endpoint.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let body = self.endpoint.body(self.good(response).await?, MAX_LIST_BYTES).await?;
        let list = serde_json::from_slice(&body);
        Ok(model::listed(&list.map_err(|_| failure::unintelligible("what is no list of models"))?))
    }

    async fn ask(&self, body: &Value, incoming: &mut Incoming<'_>) -> Result<(), AgentError> {
        let accept = "text/event-stream, application/json";
        let request =
            self.endpoint.request(Method::POST, &["responses"], &[], None).header(ACCEPT, accept).json(body);
        let response = self.good(self.endpoint.send(request).await?).await?;
        let max_bytes = self.max_event_bytes();
        if is_stream(&response) {
            return stream::read(&self.endpoint, response, max_bytes, incoming).await;
        }
        // A server that does not stream answers at once.
        let body = self.endpoint.body(response, max_bytes).await?;
        let response: Value = serde_json::from_slice(&body).unwrap_or_default();
        if response.get("output").is_none_or(|output| !output.is_array()) {
            let told = response.get("error").is_some_and(|error| !error.is_null());
            let unintelligible = || failure::unintelligible("an answer that cannot be read");
            return Err(if told { failure::told_by(&response) } else { unintelligible() });
        }
        incoming.end(&response)
    }

    /// The answer, where its status is a good one.
    async fn good(&self, response: Response) -> Result<Response, AgentError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.endpoint.body(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
        Err(failure::of_status(status, &body))
    }

    /// The last event repeats the whole answer, and some servers write each letter of it as six.
    fn max_event_bytes(&self) -> usize {
        self.config.max_output_bytes.saturating_mul(4).saturating_add(1024 * 1024)
    }

    async fn within_time<T>(
        &self,
        work: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let limit = self.config.request_timeout;
        timeout(limit, work).await.unwrap_or_else(|_| {
            let reason = format!("{NAME} did not finish its answer within {limit:?}");
            Err(AgentError::of(AgentFailure::Unavailable, reason))
        })
    }
}

fn set(body: &mut Value, key: &str, value: Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert(key.to_owned(), value);
    }
}

fn is_stream(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}

/// Who hears a topic.
struct Nobody;

impl AnswerListener for Nobody {
    fn hear(&self, _piece: AnswerPiece) {}
}
