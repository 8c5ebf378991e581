//! The one cluster that all test processes of a checkout share.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::private::{self, PrivateOptions};
use super::server::Server;
use super::{Result, account, lock, place};

/// Between two tests, one after the other, nobody uses the cluster: it waits a little for the next.
const CHECKS: u32 = 20;

static JOINED: Mutex<Option<Joined>> = Mutex::new(None);

struct Joined {
    server: Server,
    /// Held until this process ends.
    _user: File,
}

/// The URL of the maintenance database of the shared cluster, which is started where it does not run.
pub(super) fn maintenance_url() -> Result<String> {
    let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    let joined = match &mut *joined {
        Some(joined) => joined,
        none => none.insert(join()?),
    };
    Ok(joined.server.url("postgres"))
}

fn join() -> Result<Joined> {
    let folder = folder()?;
    let start = lock::exclusive(&folder, "start.lock")?;
    let folder = fs::canonicalize(folder)?;
    let user = lock::shared(&folder, "users.lock")?;
    // Before the server, so that there is no moment at which a server could be left behind.
    Server::watch(&folder, CHECKS)?;
    let server = if let Some(server) = Server::find(&folder)? {
        server
    } else {
        private::sweep()?;
        Server::end(&folder)?;
        Server::create(&folder, &PrivateOptions::default())?
    };
    drop(start);
    Ok(Joined { server, _user: user })
}

/// Checkouts do not share a cluster: their tests may disagree, and their runs end at different times.
fn folder() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    let checkout = hasher.finish() >> 32;
    Ok(place::root().join(format!("lcs-postgres-{}-{checkout:08x}", account::current_uid()?)))
}
