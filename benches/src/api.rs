//! The service in a process of its own, and what a host asks it for over HTTP.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use lcs_domain::{ConversationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Result;
use crate::payload::Payloads;

/// One connection, kept alive.
type Sender = SendRequest<Full<Bytes>>;

/// The service, and the connections to it that nobody uses now.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    idle: Mutex<Vec<Sender>>,
    /// It ends when this is dropped.
    _service: Child,
}

/// The line that the service begins with.
#[derive(Deserialize)]
struct Serving {
    url: String,
}

/// What an append sends.
#[derive(Serialize)]
struct AppendBody<'a> {
    input_messages: &'a Value,
    output_message: &'a Value,
    metadata: &'a Value,
}

impl Api {
    /// Starts `lcs-persistence serve`, which stands beside this program, with its default configuration.
    ///
    /// # Errors
    /// A sentence, where there is no such program, or it does not begin to serve.
    pub async fn serve(database_url: &str) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("lcs-persistence");
        let mut service = Command::new(&program)
            .args(["--json", "--log-level", "off", "serve", "--port", "0"])
            .env("LCS_PERSISTENCE_DATABASE_URL", database_url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
        let output = service.stdout.take().ok_or("the service has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        let serving: Serving =
            serde_json::from_str(&line).map_err(|_| "the service does not say where it is")?;
        let address = serving.url.trim_start_matches("http://").trim_end_matches('/').parse()?;
        Ok(Self { address, idle: Mutex::default(), _service: service })
    }

    /// Appends a turn to this user's conversation.
    ///
    /// # Errors
    /// A sentence, where the answer is any but a success.
    pub async fn append(&self, user: UserId, conversation: ConversationId, turn: &Payloads) -> Result<()> {
        let body = AppendBody {
            input_messages: &turn.input_messages,
            output_message: &turn.output_message,
            metadata: &turn.metadata,
        };
        let path = format!("/v1/conversations/{conversation}/turns?user_id={user}");
        self.ask(Method::POST, &path, serde_json::to_vec(&body)?.into()).await.map(|_answer| ())
    }

    /// Reads the newest turns of this user's conversation, as they come.
    ///
    /// # Errors
    /// A sentence, where the answer is any but a success.
    pub async fn newest(&self, user: UserId, conversation: ConversationId, limit: u32) -> Result<Bytes> {
        let path = format!("/v1/conversations/{conversation}/turns?limit={limit}&user_id={user}");
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let kept = self.idle().pop();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body))?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        self.idle().push(sender);
        if status.is_success() { Ok(body) } else { Err(format!("answered with {status}").into()) }
    }

    async fn connect(&self) -> Result<Sender> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
