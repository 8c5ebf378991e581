//! A client's connection to a service: kept alive, and made again where the server has closed it.

use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection, or none yet.
#[derive(Debug)]
pub struct Connection {
    address: String,
    patience: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null where it is no JSON.
    pub body: Value,
    /// The same, as it came.
    pub bytes: Bytes,
}

impl Answered {
    /// In how many seconds to come again, where the server says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Broken {
    /// Whether the request may have reached the server.
    pub was_sent: bool,
    why: String,
}

impl Broken {
    fn sent(why: impl fmt::Display) -> Self {
        Self { was_sent: true, why: why.to_string() }
    }

    fn not_sent(why: impl fmt::Display) -> Self {
        Self { was_sent: false, why: why.to_string() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Connection {
    /// A connection to the service at `address`, whose answers may take as long as `patience`.
    #[must_use]
    pub const fn new(address: String, patience: Duration) -> Self {
        Self { address, patience, sender: None }
    }

    /// Sends a request and reads the whole answer. After a failure the next one has a new connection.
    ///
    /// Dropped before the answer is there, it closes the connection.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, String)],
        body: Option<&Value>,
    ) -> Result<Answered, Broken> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = Full::from(body.map(Value::to_string).unwrap_or_default());
        let request = request.body(body).map_err(Broken::not_sent)?;
        let answered = timeout(self.patience, self.exchange(request)).await;
        answered.unwrap_or_else(|_| Err(Broken::sent("no answer in time")))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answered, Broken> {
        // Taken out, so that whatever ends this early leaves no connection in the middle of an answer.
        let mut kept = self.sender.take();
        let is_ready = match &mut kept {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match kept {
            Some(sender) if is_ready => sender,
            _ => self.connect().await?,
        };
        let response = sender.send_request(request).await.map_err(Broken::sent)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.into_body().collect().await.map_err(Broken::sent)?.to_bytes();
        self.sender = Some(sender);
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answered { status, headers, body, bytes })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Broken> {
        let stream = TcpStream::connect(&self.address).await.map_err(Broken::not_sent)?;
        stream.set_nodelay(true).map_err(Broken::not_sent)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Broken::not_sent)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
