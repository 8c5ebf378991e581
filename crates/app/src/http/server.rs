//! The HTTP/1.1 server: takes connections, bounds what each may cost, and stops without cutting anybody off.

#[cfg(test)]
mod tests;
mod write_timeout;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::write_timeout::WriteTimeout;
use crate::configuration::ServiceConfig;

/// How many connections there may be for each request that may be answered at the same time: most wait for
/// their next request. What is beyond waits in the system's backlog.
const CONNECTIONS_PER_REQUEST: usize = 4;
/// How long nothing is accepted after that has failed, as it does where no more files can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a connection is still listened to when the service stops: what a client has sent by then is answered.
const LAST_CALL: Duration = Duration::from_millis(100);
/// The smallest read buffer that a connection gets at most; a body is read through it.
const BUFFER_BYTES: usize = 65_536;

/// Answers what comes through `listener` with `router`, until `shutdown`. Then nothing more is accepted, what
/// was is finished within `shutdown_timeout`, and what still runs after that is cut off.
///
/// # Errors
/// None at the moment: a connection that cannot be accepted is logged, and the next one is tried.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &ServiceConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let places =
        Arc::new(Semaphore::new(config.max_concurrent_requests.saturating_mul(CONNECTIONS_PER_REQUEST)));
    let server =
        Server { router, http: http(config), shutdown: shutdown.clone(), cut: CancellationToken::new() };
    let connections = TaskTracker::new();
    // A place comes first, so that a connection without one stays with the system.
    while let Some(Ok(place)) = shutdown.run_until_cancelled(Arc::clone(&places).acquire_owned()).await {
        let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, peer)) => drop(connections.spawn(server.clone().connection(stream, peer, place))),
            Err(error) => pause_after(&error, &shutdown).await,
        }
    }
    // Whose connection the system has taken already has been let in as well.
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
    {
        drop(connections.spawn(server.clone().connection(stream, peer, place)));
    }
    drop(listener);
    connections.close();
    if timeout(config.shutdown_timeout, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests are cut off: they take longer than the stop may"
        );
        server.cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// What one connection may cost.
fn http(config: &ServiceConfig) -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_header_size(config.max_header_bytes)
        .max_buf_size(config.max_header_bytes.max(BUFFER_BYTES));
    http
}

/// A client that is gone before it is accepted is no failure of ours; anything else would come again at once.
async fn pause_after(error: &io::Error, shutdown: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "no connection can be accepted: trying again");
        shutdown.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
    }
}

#[derive(Clone)]
struct Server {
    router: Router,
    http: Builder,
    /// No more requests after the one that is being answered.
    shutdown: CancellationToken,
    /// Nothing more at all.
    cut: CancellationToken,
}

impl Server {
    /// Answers the requests of one connection. That it breaks is the client's affair.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        // Without it the small pieces of a stream wait for each other.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection is gone before its first request");
            return;
        }
        let Self { router, http, shutdown, cut } = self;
        let answer = service_fn(move |request| answer(router.clone(), request, peer));
        let mut connection = pin!(http.serve_connection(TokioIo::new(WriteTimeout::new(stream)), answer));
        let mut ended = shutdown.run_until_cancelled(connection.as_mut()).await;
        if ended.is_none() {
            // A request that is on its way already is heard.
            ended = timeout(LAST_CALL, connection.as_mut()).await.ok();
        }
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            ended = cut.run_until_cancelled(connection).await;
        }
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}
