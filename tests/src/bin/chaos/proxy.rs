//! A TCP proxy between a replica and its server, with the faults of a network.
//!
//! It tells appends from everything else by the marker that stands in each of them, so that what is cut is a
//! write: before the server has it, or after the server has committed it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lcs_tests::chaos::replica::{Failure, MARKER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// They are passed on.
    Open,
    /// New ones are taken, and nothing ever comes back; those that there were end.
    BlackHole,
    /// New ones are refused; those that there were end.
    Refused,
}

/// A proxy. It ends with this value.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    passage: watch::Sender<Passage>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    target: Mutex<SocketAddr>,
    latency_ms: AtomicU64,
    /// How many appends are still to be cut off before the server has them.
    requests: AtomicU32,
    /// How many appends are still to be cut off after the server has answered them.
    replies: AtomicU32,
    /// How many answers are still to be broken off in the middle.
    resets: AtomicU32,
}

impl Proxy {
    /// A proxy before the server at `target`.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (passage, changes) = watch::channel(Passage::Open);
        let faults = Arc::new(Faults {
            target: Mutex::new(target),
            latency_ms: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            replies: AtomicU32::new(0),
            resets: AtomicU32::new(0),
        });
        tokio::spawn(accept(listener, port, changes, Arc::clone(&faults)));
        Ok(Self { port, passage, faults })
    }

    pub(crate) fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Leads new connections to another server, and ends those that there are.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.faults.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.set(Passage::Open);
    }

    pub(crate) fn delay(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.faults.latency_ms.store(latency, Ordering::Relaxed);
    }

    /// Has this many appends cut off before the server has them.
    pub(crate) fn cut_requests(&self, count: u32) {
        self.faults.requests.store(count, Ordering::SeqCst);
    }

    /// Has this many appends cut off when the server has answered them.
    pub(crate) fn cut_replies(&self, count: u32) {
        self.faults.replies.store(count, Ordering::SeqCst);
    }

    /// Has this many answers broken off in the middle.
    pub(crate) fn reset(&self, count: u32) {
        self.faults.resets.store(count, Ordering::SeqCst);
    }

    /// Whether all that was to be cut has been.
    pub(crate) fn is_done(&self) -> bool {
        [&self.faults.requests, &self.faults.replies, &self.faults.resets]
            .iter()
            .all(|count| count.load(Ordering::SeqCst) == 0)
    }
}

async fn accept(
    mut listener: TcpListener,
    port: u16,
    mut changes: watch::Receiver<Passage>,
    faults: Arc<Faults>,
) {
    loop {
        let now = *changes.borrow_and_update();
        if now == Passage::Refused {
            drop(listener);
            if changes.wait_for(|passage| *passage != Passage::Refused).await.is_err() {
                return;
            }
            listener = loop {
                match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                    Ok(listener) => break listener,
                    // A connection from before may still hold the port.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            };
            continue;
        }
        tokio::select! {
            told = changes.changed() => if told.is_err() { return },
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(pass(client, changes.clone(), Arc::clone(&faults)));
            },
        }
    }
}

/// Passes one connection on until an end of it closes, or the proxy is told to end it.
async fn pass(client: TcpStream, mut changes: watch::Receiver<Passage>, faults: Arc<Faults>) {
    if *changes.borrow_and_update() == Passage::BlackHole {
        let _healed = changes.changed().await;
        return;
    }
    let target = *faults.target.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Each message is an answer that somebody waits for.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    // Whatever ends this ends it at once, as a network that breaks.
    let _lingers = (client.set_zero_linger(), server.set_zero_linger());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = AtomicBool::new(false);
    tokio::select! {
        _ = changes.changed() => {}
        () = forth(from_client, to_server, &faults, &swallow) => {}
        () = back(from_server, to_client, &faults, &swallow) => {}
    }
}

async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, swallow: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let chunk = buffer.get(..length).unwrap_or_default();
        let latency_ms = faults.latency_ms.load(Ordering::Relaxed);
        if latency_ms > 0 {
            sleep(Duration::from_millis(latency_ms)).await;
        }
        if is_append(chunk) {
            if take(&faults.requests) {
                return;
            }
            if take(&faults.replies) {
                swallow.store(true, Ordering::SeqCst);
            }
        }
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, swallow: &AtomicBool) {
    /// Shorter answers hold no row that could be broken off.
    const WITH_ROWS: usize = 400;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // The server answers a statement when it is committed.
        if swallow.load(Ordering::SeqCst) {
            return;
        }
        let chunk = buffer.get(..length).unwrap_or_default();
        if length > WITH_ROWS && take(&faults.resets) {
            let _broken_off = to.write_all(chunk.get(..length / 2).unwrap_or_default()).await;
            return;
        }
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}

fn is_append(chunk: &[u8]) -> bool {
    chunk.windows(MARKER.len()).any(|window| window == MARKER.as_bytes())
}

/// Takes one of those that are left.
fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
