//! The API in this process: each answer is held against the OpenAPI document.

use std::sync::Arc;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use lcs_app::PersistenceManager;
use lcs_app::configuration::{AuthenticationConfig, Configuration, StoreConfiguration};
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router};
use lcs_app::llama_stack::LlamaStack;
use serde_json::Value;
use tower::ServiceExt;

use crate::document::Document;

static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::new);

/// An API over a store.
#[derive(Clone)]
pub(crate) struct Api {
    router: Router,
    pub(crate) service: Service,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Its body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// One of its headers.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Its body, if its status is this one.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

impl Api {
    /// Over a store in memory, with the echo agent.
    pub(crate) async fn memory() -> Self {
        Self::over(Configuration::new(StoreConfiguration::Memory)).await
    }

    /// As `configuration` says.
    pub(crate) async fn over(configuration: Configuration) -> Self {
        let config = configuration.service.clone();
        let manager = PersistenceManager::initialize(configuration).await.unwrap();
        let service = Service::new(manager, authenticator(&config.authentication).unwrap(), None);
        Self::serving(service.with_operator(config.operator.as_ref()))
    }

    /// Over these services, with the operator that is configured.
    pub(crate) fn with_operator(manager: PersistenceManager, configuration: &Configuration) -> Self {
        let config = &configuration.service;
        let service = Service::new(manager, authenticator(&config.authentication).unwrap(), None);
        Self::serving(service.with_operator(config.operator.as_ref()))
    }

    /// Over these services.
    pub(crate) fn of(manager: PersistenceManager, authentication: &AuthenticationConfig) -> Self {
        Self::with_llama_stack(manager, authentication, None)
    }

    /// Over these services, with a Llama Stack behind them.
    pub(crate) fn with_llama_stack(
        manager: PersistenceManager,
        authentication: &AuthenticationConfig,
        llama_stack: Option<LlamaStack>,
    ) -> Self {
        Self::serving(Service::new(manager, authenticator(authentication).unwrap(), llama_stack))
    }

    fn serving(service: Service) -> Self {
        let config = Configuration::new(StoreConfiguration::Memory).service;
        Self { router: guarded(router(service.clone()), &config), service }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().to_string());
        let answer = self.send_undocumented(request).await;
        let content_type = answer.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
        let json = is_json.then(|| answer.json());
        DOCUMENT.judge(&method, &path, answer.status, content_type, json.as_ref());
        answer
    }

    /// Sends a request, and leaves the answer's body to be read.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request for what the document does not describe: itself.
    pub(crate) async fn send_undocumented(&self, request: Request<Body>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends a request without a body.
    pub(crate) async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a JSON body.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, path, &[], body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, path, &[], body).await
    }

    /// Begins a conversation with this question.
    pub(crate) async fn begin(&self, question: &str) -> String {
        let answer = self.post("/v1/query", &serde_json::json!({ "query": question })).await.expect(200);
        answer["conversation_id"].as_str().unwrap().to_owned()
    }
}

/// The events of a streamed answer.
pub(crate) fn events(answer: &Answer) -> Vec<Value> {
    let events = answer.text.split_terminator("\n\n");
    events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

/// Two replicas over one store in memory.
pub(crate) async fn replicas(count: usize) -> Vec<Api> {
    let store: Arc<dyn lcs_domain::Repositories> =
        Arc::new(lcs_storage::memory::Memory::new(Arc::new(lcs_domain::SystemClock)));
    let mut replicas = Vec::new();
    for _ in 0..count {
        let configuration = Configuration::new(StoreConfiguration::Memory);
        let authentication = configuration.service.authentication.clone();
        let manager = PersistenceManager::builder(configuration).repositories(Arc::clone(&store));
        replicas.push(Api::of(manager.initialize().await.unwrap(), &authentication));
    }
    replicas
}
