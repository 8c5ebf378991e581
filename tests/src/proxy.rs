//! A proxy before PostgreSQL that counts what a client sends, and fails at one message of it.
//!
//! What is counted are the messages after the handshake, over all connections; the first is number 1. It reads
//! plain connections only (`sslmode=disable`).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How a message fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection is lost before the message has reached the server.
    Before,
    /// The connection is lost when the server has done what the message asks, before its answer has come.
    After,
    /// The server refuses it.
    Refused,
    /// It goes no further, and nothing after it, until the client is gone.
    Held,
}

#[derive(Debug, Default)]
struct State {
    seen: AtomicU32,
    fail_at: Mutex<Option<(u32, Failure)>>,
    failed: Notify,
    is_gone_after: AtomicBool,
    is_gone: AtomicBool,
}

impl State {
    /// What is to become of the message that has just come.
    fn next(&self) -> Option<Failure> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fail_at = self.fail_at.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, failure) = fail_at.take_if(|(at, _)| *at == number)?;
        self.is_gone.store(self.is_gone_after.load(Ordering::SeqCst), Ordering::SeqCst);
        self.failed.notify_one();
        Some(failure)
    }
}

/// A proxy on a port of its own. It ends when this is dropped, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    accepting: AbortHandle,
}

impl Proxy {
    /// A proxy before the server at `host` and `port`, that fails nothing yet.
    pub async fn start(host: &str, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = tokio::net::lookup_host((host, port)).await?.next().ok_or(io::ErrorKind::NotFound)?;
        let own_port = listener.local_addr()?.port();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, address, Arc::clone(&state))).abort_handle();
        Ok(Self { port: own_port, state, accepting })
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How many messages have come since it was last told what to fail.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// Counts from 1 again and fails message `number`. With `is_gone_after`, the server then lets nobody in.
    pub fn fail(&self, number: u32, failure: Failure, is_gone_after: bool) {
        self.state.is_gone.store(false, Ordering::SeqCst);
        self.state.is_gone_after.store(is_gone_after, Ordering::SeqCst);
        *self.state.fail_at.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, failure));
        self.state.seen.store(0, Ordering::SeqCst);
    }

    /// Fails nothing more, and counts from 1 again.
    pub fn heal(&self) {
        self.state.is_gone.store(false, Ordering::SeqCst);
        *self.state.fail_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.seen.store(0, Ordering::SeqCst);
    }

    /// Waits until a message has failed.
    pub async fn failed(&self) {
        self.state.failed.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // A connection that breaks is what the tests ask for.
        let state = Arc::clone(&state);
        connections.spawn(async move { drop(serve(client, server, &state).await) });
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, state: &State) -> io::Result<()> {
    client.set_nodelay(true)?;
    if state.is_gone.load(Ordering::SeqCst) {
        startup(&mut client).await?;
        return client.write_all(&refusal("FATAL", "28P01")).await;
    }
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup(&mut client).await?).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = AtomicBool::new(false);
    // Whichever ends first ends the connection.
    tokio::select! {
        ended = forth(from_client, to_server, state, &swallow) => ended,
        ended = back(from_server, to_client, &swallow) => ended,
    }
}

/// Passes on what the client sends.
async fn forth(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    state: &State,
    swallow: &AtomicBool,
) -> io::Result<()> {
    loop {
        let mut message = message(&mut client).await?;
        let kind = message.first().copied().unwrap_or_default();
        // The handshake and the goodbye are not counted.
        let failure = if matches!(kind, b'p' | b'X') { None } else { state.next() };
        match failure {
            None => {}
            Some(Failure::Before) => return Ok(()),
            Some(Failure::After) => {
                let is_answered = matches!(kind, b'S' | b'Q');
                swallow.store(is_answered, Ordering::SeqCst);
                server.write_all(&message).await?;
                if !is_answered {
                    return Ok(());
                }
                continue;
            }
            Some(Failure::Refused) if kind == b'Q' => message = framed(b'Q', b"no such statement\0"),
            // A statement that the server cannot read: it skips the rest, up to the end of the batch.
            Some(Failure::Refused) => server.write_all(&framed(b'P', b"\0no such statement\0\0\0")).await?,
            // Until the client is gone: then the server sees that too.
            Some(Failure::Held) => {
                return tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(|_| ());
            }
        }
        server.write_all(&message).await?;
    }
}

/// Passes on what the server answers; of an answer that is to be lost, nothing: at its end the connection ends.
async fn back(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, swallow: &AtomicBool) -> io::Result<()> {
    loop {
        let message = message(&mut server).await?;
        match (swallow.load(Ordering::SeqCst), message.first()) {
            (true, Some(b'Z')) => return Ok(()),
            (true, _) => {}
            (false, _) => client.write_all(&message).await?,
        }
    }
}

/// The first message of a connection, which has no kind.
async fn startup(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    with_body(length.to_be_bytes().to_vec(), length, client).await
}

async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let kind = from.read_u8().await?;
    let length = from.read_u32().await?;
    with_body([&[kind][..], &length.to_be_bytes()].concat(), length, from).await
}

async fn with_body(head: Vec<u8>, length: u32, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = vec![0; usize::try_from(length.saturating_sub(4)).map_err(io::Error::other)?];
    from.read_exact(&mut body).await?;
    Ok([head, body].concat())
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn refusal(severity: &str, code: &str) -> Vec<u8> {
    framed(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mno\0\0").as_bytes())
}
