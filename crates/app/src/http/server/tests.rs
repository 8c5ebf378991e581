//! The server as a client at the other end of a socket meets it.

use std::sync::Arc;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::configuration::{Configuration, StoreConfiguration};

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start(router: Router, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = Configuration::new(StoreConfiguration::Memory).service;
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { serve(listener, router, &config, stop).await });
        Self { address, shutdown, task }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")).await;
    }

    /// What comes until `end` has come, or the connection is closed.
    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(end) {
            let mut chunk = [0; 1_024];
            match self.0.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => text.extend_from_slice(&chunk[..bytes]),
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// What comes until the connection is closed.
    async fn rest(&mut self) -> String {
        self.until("\u{0}never").await
    }
}

fn here() -> Router {
    Router::new().route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
}

#[tokio::test]
async fn a_connection_is_kept_and_its_peer_is_known() {
    let server = Running::start(here(), |_| ()).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        client.get("/").await;
        let answer = client.until("127.0.0.1").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n127.0.0.1"),
            "{answer}"
        );
    }
    server.stop().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let server = Running::start(here(), |config| config.max_header_bytes = 8_192).await;
    let mut client = server.client().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: here\r\nX-Fits: {}\r\n\r\n", "x".repeat(8_000))).await;
    assert!(client.until("127.0.0.1").await.starts_with("HTTP/1.1 200"));
    let large = format!("GET / HTTP/1.1\r\nHost: here\r\nX-Large: {}\r\n\r\n", "x".repeat(8_192));
    let many = format!("GET / HTTP/1.1\r\nHost: here\r\n{}\r\n", "a: b\r\n".repeat(200));
    for head in [large, many, "x".repeat(9_000)] {
        let mut client = server.client().await;
        client.send(&head).await;
        let answer = client.rest().await;
        // A line that is no request may be refused as such as well.
        assert!(answer.starts_with("HTTP/1.1 431") || !head.starts_with("GET"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_its_head_too_slowly_is_cut_off() {
    let server =
        Running::start(here(), |config| config.header_read_timeout = Duration::from_millis(200)).await;
    let (mut slow, mut silent) = (server.client().await, server.client().await);
    let begun = Instant::now();
    slow.send("GET / HTTP/1.1\r\nHo").await;
    assert!(!slow.rest().await.contains("200 OK"));
    assert_eq!(silent.rest().await, "");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let mut other = server.client().await;
    other.get("/").await;
    assert!(other.until("127.0.0.1").await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

/// A router with `/slow`, which answers when it is told to, and says when it was asked.
fn slow() -> (Router, Arc<Notify>, mpsc::UnboundedReceiver<()>) {
    let go_on = Arc::new(Notify::new());
    let (asked, is_asked) = mpsc::unbounded_channel();
    let waits = Arc::clone(&go_on);
    let answer = async move || {
        asked.send(()).unwrap();
        waits.notified().await;
        "slow"
    };
    (here().route("/slow", get(answer)), go_on, is_asked)
}

#[tokio::test]
async fn a_stop_finishes_what_was_accepted_and_takes_nothing_more() {
    let (router, go_on, mut is_asked) = slow();
    let server = Running::start(router, |_| ()).await;
    let (mut client, mut idle) = (server.client().await, server.client().await);
    client.get("/slow").await;
    idle.get("/").await;
    idle.until("127.0.0.1").await;
    is_asked.recv().await.unwrap();
    server.shutdown.cancel();
    // An idle connection is closed, and no other is taken.
    assert_eq!(idle.rest().await, "");
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    go_on.notify_one();
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{answer}");
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_finishes_a_stream() {
    let (chunks, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let stream = async move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        Body::from_stream(futures_util::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|chunk| (Ok::<_, io::Error>(chunk), receiver))
        }))
    };
    let server = Running::start(Router::new().route("/", get(stream)), |_| ()).await;
    let mut client = server.client().await;
    client.get("/").await;
    chunks.send("first").unwrap();
    client.until("first").await;
    server.shutdown.cancel();
    chunks.send("second").unwrap();
    client.until("second").await;
    assert!(!server.task.is_finished());
    chunks.send("last").unwrap();
    drop(chunks);
    assert!(client.rest().await.ends_with("last\r\n0\r\n\r\n"));
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_cuts_off_what_takes_longer_than_it_may() {
    let (router, _go_on, mut is_asked) = slow();
    let server = Running::start(router, |config| config.shutdown_timeout = Duration::from_millis(200)).await;
    let mut client = server.client().await;
    client.get("/slow").await;
    is_asked.recv().await.unwrap();
    server.stop().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_request_that_was_sent_before_the_stop_is_answered() {
    let server = Running::start(here(), |_| ()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.client().await;
        client.get("/").await;
        clients.push(client);
    }
    server.shutdown.cancel();
    for client in &mut clients {
        assert!(client.rest().await.starts_with("HTTP/1.1 200"));
    }
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let server = Running::start(here(), |config| config.max_concurrent_requests = 1).await;
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS_PER_REQUEST {
        let mut client = server.client().await;
        client.get("/").await;
        client.until("127.0.0.1").await;
        kept.push(client);
    }
    let mut waiting = server.client().await;
    waiting.get("/").await;
    let answer = tokio::time::timeout(Duration::from_millis(200), waiting.until("127.0.0.1")).await;
    assert!(answer.is_err(), "{answer:?}");
    kept.pop();
    assert!(waiting.until("127.0.0.1").await.starts_with("HTTP/1.1 200"));
    drop((kept, waiting));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    let endless = async || {
        Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, io::Error>("x".repeat(65_536))))
    };
    let router = Router::new().route("/", get(endless));
    let server = Running::start(router, |config| config.shutdown_timeout = Duration::from_hours(1)).await;
    let mut client = server.client().await;
    client.get("/").await;
    client.until("200 OK").await;
    server.shutdown.cancel();
    tokio::time::pause();
    let begun = Instant::now();
    server.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < write_timeout::LIMIT * 2, "{:?}", begun.elapsed());
}
