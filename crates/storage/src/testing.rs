//! A PostgreSQL database for each test, from a server that the tests start themselves.
//!
//! [`TestPostgres::create`] gives an empty database of its own in tens of milliseconds, and
//! [`TestPostgres::migrated`] one with the schema, and [`TestPostgres::secured`] one with roles and row-level security. Where the
//! environment variable `TEST_DATABASE_URL` is set, the database is made on that server (its role may
//! create databases). Otherwise it is made in a cluster that the installed server binaries run:
//!
//! - **Binaries**: those in the folder `PG_BIN`, else on `PATH`, else the newest in
//!   `/usr/lib/postgresql/*/bin`. A test without any fails and says what to install; it is never skipped.
//! - **Account**: PostgreSQL refuses to run as root, so under root it runs as `postgres` or `nobody`.
//! - **One cluster for all**: a test runner such as nextest starts a process for each test, so the
//!   cluster is shared by all test processes of one checkout and one user. It lies in
//!   the folder `TEST_POSTGRES_FOLDER`, else in `/dev/shm` where that has room, else under the temporary folder. The first process starts it under a file lock; each process that uses it holds a
//!   shared lock on a second file. The kernel lets go of that lock however the process ends.
//! - **Nothing is left behind**: a small shell script (`watchdog.sh`) waits for the exclusive lock on that
//!   file. When it has found nobody using the cluster for five seconds, it stops the server and removes the folder.
//!   A runner that is interrupted or killed needs no clean-up of its own. If the watchdog is killed as
//!   well, the next test process puts a new one in its place.
//! - **Speed over safety**: the cluster does not flush to disk. What a test has to see of crashes,
//!   settings or the server's log, it sees in a [`PrivateCluster`].
//!
//! - **A pooler**: [`TestPooler`] is a PgBouncer before a private cluster.
//! - **Blocking**: starting a cluster blocks its caller, so that a runtime whose time is paused does not run ahead.
//!
//! This works on Linux (the watchdog asks for `flock` and `/proc`). Elsewhere, set `TEST_DATABASE_URL`.

mod account;
mod binary;
mod connection;
mod database;
mod external;
mod lock;
mod place;
mod pooler;
mod private;
mod role;
mod server;
mod shared;
mod usage;

pub use database::TestPostgres;
pub use pooler::TestPooler;
pub use private::{PrivateCluster, PrivateOptions, Shutdown};
pub use role::Role;

/// Why a test cannot have its database, in one sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Ends a test that cannot have what it asked for.
#[expect(clippy::panic, reason = "a test that cannot have its database has failed")]
fn or_fail<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("this test's PostgreSQL: {error}"))
}

/// A program of PostgreSQL's, such as `pg_dump`: beside the server's binaries, else the one on `PATH`.
#[must_use]
pub fn program(name: &str) -> std::path::PathBuf {
    let beside = binary::folder().map(|folder| folder.join(name));
    beside.ok().filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// A number that another process does not come up with.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
