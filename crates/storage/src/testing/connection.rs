//! Plain connections, for what the test support itself asks of a server.

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::Result;

/// Connects to `url`; the connection is driven by the current runtime.
pub(super) async fn open(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(explain)?;
    tokio::spawn(connection);
    Ok(client)
}

/// The server's own words, which the driver's `Display` leaves out.
pub(super) fn explain(error: tokio_postgres::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error.as_db_error() {
        Some(refusal) => refusal.to_string().into(),
        None => error.into(),
    }
}

/// How long a server may take to drop a database: one that a test has stopped never does.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `work`, though not for ever, on a thread and a runtime of its own: where there is no runtime, or it may not be blocked.
pub(super) fn on_own_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let work = async { tokio::time::timeout(PATIENCE, work).await? };
        sender.send(runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(work)))
    });
    receiver.recv().map_err(|_| "a helper thread ended early")?
}
