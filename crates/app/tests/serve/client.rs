//! A client of the API: one user's questions, and the events of their answers.

use std::sync::Arc;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::process::{CANARY, PATIENCE};

/// Who asks a process, as one user.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    user: String,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    async fn of(response: Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }

    /// Its body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Its body, if its status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Asserts that it says to try again later, in the contract's shape.
    #[track_caller]
    pub(crate) fn expect_unavailable(&self) {
        let detail = &self.expect(503)["detail"];
        assert!(detail["response"].is_string() && detail["cause"].is_string(), "{}", self.text);
        assert!(self.headers.contains_key(RETRY_AFTER), "{:?}", self.headers);
    }

    /// One of its headers; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    /// The client of user `ada`.
    pub(crate) fn new(url: &str) -> Self {
        // No provider of TLS stands ready by itself, and none is needed.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let http =
            reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).timeout(PATIENCE).build();
        Self { http: http.unwrap(), url: url.to_owned(), user: "ada".into(), token: None }
    }

    /// The same for another user.
    pub(crate) fn user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    /// The same with a token.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = reqwest::Url::parse(&self.url).unwrap().join(path).unwrap();
        url.query_pairs_mut().append_pair("user_id", &self.user);
        let request = self.http.request(method, url);
        self.token.iter().fold(request, RequestBuilder::bearer_auth)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path).send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body).send().await.unwrap()).await.unwrap()
    }

    /// Asks with an `Idempotency-Key`; the process may be gone before it has answered.
    pub(crate) async fn ask_keyed(&self, key: &str, body: &Value) -> reqwest::Result<Answer> {
        let request = self.request(Method::POST, "/v1/query").header("Idempotency-Key", key);
        Answer::of(request.json(body).send().await?).await
    }

    /// Asks in a conversation, or begins one.
    pub(crate) async fn ask(&self, conversation: Option<&str>, question: &str) -> Answer {
        self.post("/v1/query", &body(conversation, question)).await
    }

    /// The answer to a question in a conversation, which must be given.
    pub(crate) async fn told(&self, conversation: &str, question: &str) -> String {
        self.ask(Some(conversation), question).await.expect(200)["response"].as_str().unwrap().to_owned()
    }

    /// Begins a conversation.
    pub(crate) async fn begin(&self, question: &str) -> String {
        let answer = self.ask(None, question).await.expect(200);
        answer["conversation_id"].as_str().unwrap().to_owned()
    }

    /// Has an answer streamed.
    pub(crate) async fn stream(&self, conversation: Option<&str>, question: &str) -> reqwest::Result<Events> {
        let request = self.request(Method::POST, "/v1/streaming_query");
        let response = request.json(&body(conversation, question)).send().await?;
        assert_eq!(response.status(), 200);
        Ok(Events { response, unread: Vec::new() })
    }

    /// The contents of a history's messages, turn by turn: the question, and the answer.
    pub(crate) async fn history(&self, version: &str, conversation: &str) -> Vec<[String; 2]> {
        let history = self.get(&format!("/{version}/conversations/{conversation}")).await.expect(200);
        let turns = history["chat_history"].as_array().unwrap().iter();
        let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
        turns.map(|turn| [0, 1].map(|place| content(&turn["messages"][place]))).collect()
    }

    /// The newest turns of a conversation, turn numbers rising.
    pub(crate) async fn turns(&self, conversation: &str) -> Vec<Value> {
        let turns = self.get(&format!("/v1/conversations/{conversation}/turns?limit=200")).await.expect(200);
        turns["turns"].as_array().unwrap().clone()
    }

    /// The user's conversations, the newest first.
    pub(crate) async fn list(&self) -> Vec<Value> {
        self.get("/v1/conversations").await.expect(200)["conversations"].as_array().unwrap().clone()
    }
}

fn body(conversation: Option<&str>, question: &str) -> Value {
    assert!(question.contains(CANARY), "{question}");
    let mut body = json!({ "query": question });
    if let Some(conversation) = conversation {
        body["conversation_id"] = conversation.into();
    }
    body
}

/// The events of a streamed answer, as they come.
pub(crate) struct Events {
    response: Response,
    unread: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end, also where the connection broke.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(serde_json::from_slice(event.strip_prefix(b"data: ").unwrap()).unwrap());
            }
            self.unread.extend(self.response.chunk().await.ok()??);
        }
    }

    /// The next event, which is to be `kind`: its data.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().await.unwrap_or_else(|| panic!("it ends before {kind}"));
        assert_eq!(event["event"], kind, "{event}");
        event["data"].clone()
    }

    /// All events that are left.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
