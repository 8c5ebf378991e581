//! Databases on somebody else's server, `TEST_DATABASE_URL`, which does not end with the tests.
//!
//! Their names carry a token of the process that made them, and that process holds an advisory lock on
//! its token as long as it lives. So whoever comes later knows the databases of processes that were killed, and drops them.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use tokio_postgres::Client;

use super::{Result, connection, random};

static PREFIX: Mutex<Option<String>> = Mutex::new(None);

/// What the names of this process's databases begin with.
pub(super) fn prefix(url: &str) -> Result<String> {
    let mut prefix = PREFIX.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(prefix) = &*prefix {
        return Ok(prefix.clone());
    }
    Ok(prefix.insert(register(url.to_owned())?).clone())
}

/// Locks a new token on a connection that lives as long as this process, and sweeps.
fn register(url: String) -> Result<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let held = runtime.map_err(Into::into).and_then(|runtime| {
            let (client, prefix) = runtime.block_on(lock_and_sweep(&url))?;
            Ok((runtime, client, prefix))
        });
        match held {
            Ok((runtime, client, prefix)) => {
                let _received = sender.send(Ok(prefix));
                runtime.block_on(std::future::pending::<()>());
                drop(client);
            }
            Err(error) => {
                let _received = sender.send(Err(error));
            }
        }
    });
    receiver.recv().map_err(|_| "a helper thread ended early")?
}

async fn lock_and_sweep(url: &str) -> Result<(Client, String)> {
    let client = connection::open(url).await?;
    let prefix = format!("lcs_test_{:08x}_", random() >> 32);
    client.batch_execute(&lock("pg_advisory_lock", &prefix)).await.map_err(connection::explain)?;
    sweep(&client).await?;
    Ok((client, prefix))
}

/// Drops the databases of processes that are gone.
async fn sweep(client: &Client) -> Result<()> {
    let databases =
        client.query("SELECT datname::text FROM pg_database WHERE datname LIKE 'lcs\\_test\\_%'", &[]);
    for row in databases.await.map_err(connection::explain)? {
        let name: String = row.try_get(0)?;
        let Some((token, _)) = name.rsplit_once('_') else { continue };
        let token = format!("{token}_");
        let free: bool = client.query_one(&lock("pg_try_advisory_lock", &token), &[]).await?.try_get(0)?;
        if free {
            let dropped = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            client.batch_execute(&lock("pg_advisory_unlock", &token)).await?;
            dropped.map_err(connection::explain)?;
        }
    }
    Ok(())
}

fn lock(function: &str, token: &str) -> String {
    format!("SELECT {function}(hashtext('{token}'))")
}
