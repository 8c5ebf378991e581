//! One client's connection: kept alive, and made again where the server has closed it.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Connection {
    address: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What was answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// In how many seconds to come again, where the server says so.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Connection {
    pub(crate) const fn new(address: String) -> Self {
        Self { address, sender: None }
    }

    /// Sends a request and reads the whole answer. After a failure the next one has a new connection.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answered, Failure> {
        let answered = timeout(PATIENCE, self.exchange(method, path, body)).await;
        let answered = answered.unwrap_or_else(|_| Err("no answer in time".into()));
        if answered.is_err() {
            self.sender = None;
        }
        answered
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answered, Failure> {
        let is_ready = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match self.sender.take() {
            Some(sender) if is_ready => sender,
            _ => self.connect().await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.map(|body| body.to_string()).unwrap_or_default()))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answered { status, retry_after, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
