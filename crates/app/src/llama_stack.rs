//! The conversations that are still in a Llama Stack (OGX): what was said in them, and deleting them there.
//!
//! What cannot be read is an error, never an empty history (P8). A caller's own token goes with each request,
//! so that the Llama Stack decides what he may see; our key goes only where he has none.

mod turn;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lcs_domain::agent::{AgentError, AgentFailure};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

pub use self::turn::{AdoptedTurn, turns_of};
use crate::endpoint::{Endpoint, EndpointConfig};

/// What errors call it.
const NAME: &str = "Llama Stack";
/// How many items are asked for at once.
const PAGE: usize = 100;
/// How long a page may be.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;
/// How many bytes all pages of a conversation may have: they are held together.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// How many items a conversation may have: beyond it is nothing that a person has said.
const MAX_ITEMS: usize = 20_000;

/// Where the Llama Stack is.
#[derive(Debug, Clone)]
pub struct LlamaStackConfig {
    /// Its address, as LCS has it: `http://localhost:8321`; with `/v1` behind it, it is the same.
    pub url: String,
    /// Sent as the bearer token for callers without one of their own.
    pub api_key: Option<SecretString>,
    /// The certificates that the server's is checked against; `None`: the system's.
    pub ca_cert_path: Option<PathBuf>,
    /// Whether a conversation that is not in our store is looked for there.
    pub history_fallback: bool,
    /// How long a whole request of ours may take.
    pub timeout: Duration,
}

impl LlamaStackConfig {
    /// The documented defaults, for the Llama Stack at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(30);
        Self { url: url.into(), api_key: None, ca_cert_path: None, history_fallback: false, timeout }
    }
}

/// Something in a conversation: a message, a tool's call, or what it answered. `Debug` shows none of it.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Item(Value);

impl Item {
    /// The item that `json` is, in the form of the Conversations API.
    #[must_use]
    pub const fn new(json: Value) -> Self {
        Self(json)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.get("id")?.as_str()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A page of items.
#[derive(Deserialize)]
struct Page {
    data: Vec<Item>,
    #[serde(default)]
    has_more: Option<bool>,
}

/// A client of a Llama Stack.
#[derive(Debug)]
pub struct LlamaStack {
    endpoint: Endpoint,
    timeout: Duration,
}

impl LlamaStack {
    /// # Errors
    /// Where the address is none, or the certificates cannot be read. The Llama Stack is not called.
    pub fn new(config: &LlamaStackConfig) -> Result<Self, AgentError> {
        let url = config.url.trim().trim_end_matches('/');
        let base_url = if url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") };
        let endpoint = Endpoint::new(&EndpointConfig {
            name: NAME,
            base_url: &base_url,
            api_key: config.api_key.as_ref(),
            ca_cert_path: config.ca_cert_path.as_ref(),
            connect_timeout: config.timeout.min(Duration::from_secs(5)),
            idle_timeout: config.timeout,
        })?;
        Ok(Self { endpoint, timeout: config.timeout })
    }

    /// What was said in the conversation, oldest first; `None` where there is no such conversation.
    /// `conversation_id` is LCS's: 48 hexadecimal digits, with or without `conv_` before them.
    ///
    /// # Errors
    /// `Unavailable` where the whole of it cannot be had, whyever.
    pub async fn items(
        &self,
        conversation_id: &str,
        authorization: Option<&SecretString>,
    ) -> Result<Option<Vec<Item>>, AgentError> {
        let items = self.items_or_why(conversation_id, authorization).await;
        items.map_err(|error| AgentError { failure: AgentFailure::Unavailable, ..error })
    }

    /// The same; another failure than `Unavailable` is of this conversation alone, and others may be had.
    ///
    /// # Errors
    /// `Unavailable` where the Llama Stack is not there, does not answer in time or lets nobody in.
    pub(crate) async fn items_or_why(
        &self,
        conversation_id: &str,
        authorization: Option<&SecretString>,
    ) -> Result<Option<Vec<Item>>, AgentError> {
        self.within_time(self.all_items(&with_prefix(conversation_id), authorization)).await
    }

    /// Deletes the conversation; `false` where there is none.
    ///
    /// # Errors
    /// `Unavailable` where it is not known to be gone.
    pub async fn delete(
        &self,
        conversation_id: &str,
        authorization: Option<&SecretString>,
    ) -> Result<bool, AgentError> {
        let path = ["conversations", &with_prefix(conversation_id)];
        let request = self.endpoint.request(Method::DELETE, &path, &[], authorization);
        let response = self.within_time(self.endpoint.send(request)).await;
        let response =
            response.map_err(|error| AgentError { failure: AgentFailure::Unavailable, ..error })?;
        match response.status() {
            status if status.is_success() => Ok(true),
            // What he may not see is absent for him (P9).
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Ok(false),
            status => {
                let failure = AgentFailure::Unavailable;
                Err(AgentError { failure, ..self.refused(status) })
            }
        }
    }

    async fn all_items(
        &self,
        conversation_id: &str,
        authorization: Option<&SecretString>,
    ) -> Result<Option<Vec<Item>>, AgentError> {
        let (mut items, mut bytes): (Vec<Item>, usize) = (Vec::new(), 0);
        loop {
            let path = ["conversations", conversation_id, "items"];
            let limit = PAGE.to_string();
            let mut query = vec![("order", "asc"), ("limit", limit.as_str())];
            if let Some(last) = items.last() {
                let after = last.id().ok_or_else(|| unreadable("sent an item without an id"))?;
                query.push(("after", after));
            }
            let request = self.endpoint.request(Method::GET, &path, &query, authorization);
            let response = self.endpoint.send(request).await?;
            match response.status() {
                status if status.is_success() => {}
                // What is gone by the second page was deleted meanwhile.
                StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(None),
                // To it, an id that is none of its own is malformed.
                StatusCode::BAD_REQUEST if items.is_empty() => return Ok(None),
                status => return Err(self.refused(status)),
            }
            let body = self.endpoint.body(response, MAX_PAGE_BYTES).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|_| unreadable("sent what is no list of items"))?;
            bytes += body.len();
            let has_more = page.has_more.unwrap_or(false);
            // Some versions say of a full page that there is nothing behind it, without having looked.
            let goes_on = has_more || page.data.len() >= PAGE;
            let first = page.data.first().and_then(Item::id);
            let again = first.is_some() && items.iter().any(|item| item.id() == first);
            if again || has_more && page.data.is_empty() {
                return Err(unreadable("does not give the items page by page"));
            }
            items.extend(page.data);
            if items.len() > MAX_ITEMS || bytes > MAX_BYTES {
                return Err(unreadable("has more in the conversation than can be read"));
            }
            if !goes_on {
                return Ok(Some(items));
            }
        }
    }

    fn refused(&self, status: StatusCode) -> AgentError {
        let error = self.endpoint.unavailable(&format!("refuses or fails ({})", status.as_u16()));
        // These are said to everybody, whatever is asked for.
        let is_of_all = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if is_of_all { error } else { AgentError { failure: AgentFailure::Other, ..error } }
    }

    async fn within_time<T>(
        &self,
        work: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let done = timeout(self.timeout, work).await;
        done.unwrap_or_else(|_| {
            Err(self.endpoint.unavailable(&format!("did not finish within {:?}", self.timeout)))
        })
    }
}

/// The failure of a Llama Stack that is there, and whose answer about a conversation cannot be taken.
fn unreadable(how: &str) -> AgentError {
    AgentError::new(format!("{NAME} {how}"))
}

fn with_prefix(conversation_id: &str) -> String {
    format!("conv_{}", conversation_id.strip_prefix("conv_").unwrap_or(conversation_id))
}
