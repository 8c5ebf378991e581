//! A cluster for one test: its settings, its log, its crashes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Server, USER};
use super::{Result, TestPostgres, account, lock, or_fail, place, usage};

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends its sessions and rolls back what they had open, as an operator would.
    Fast,
    /// Ends as in a crash: the next start recovers.
    Immediate,
}

impl Shutdown {
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// What is special about a cluster.
#[derive(Debug, Default, Clone, Copy)]
pub struct PrivateOptions<'a> {
    /// Lines for `postgresql.conf`; they win over the defaults of this module, which do not flush to disk.
    pub settings: &'a [&'a str],
    /// The lines of `pg_hba.conf`, in place of the default: a password, over TCP with or without TLS.
    pub access: &'a [&'a str],
    /// Files for the data folder, by name, such as certificates: a relative path in a setting means that folder.
    pub files: &'a [(&'a str, &'a str)],
    /// The folder that the cluster's lies in, such as a small disk; `None`: where all clusters lie.
    pub within: Option<&'a Path>,
}

/// A cluster of one test. It ends when this is dropped, and also when the test is killed.
#[derive(Debug)]
pub struct PrivateCluster {
    folder: PathBuf,
    server: Server,
    _user: File,
}

impl PrivateCluster {
    /// Starts a cluster with extra lines for `postgresql.conf`.
    ///
    /// # Panics
    /// Where the server cannot be started: the sentence says why.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(PrivateOptions { settings, ..PrivateOptions::default() })
    }

    /// Starts a cluster with `options`.
    ///
    /// # Panics
    /// Where the server cannot be started: the sentence says why.
    #[must_use]
    pub fn start_with(options: PrivateOptions<'_>) -> Self {
        or_fail(Self::make(&options))
    }

    fn make(options: &PrivateOptions<'_>) -> Result<Self> {
        let root = options.within.map_or_else(place::root, Path::to_owned);
        Self::within(&root, |folder| Server::create(folder, options))
    }

    fn within(root: &Path, create: impl FnOnce(&Path) -> Result<Server>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&prefix()?).tempdir_in(root)?;
        let path = fs::canonicalize(folder.path())?;
        let user = lock::shared(&path, "users.lock")?;
        Server::watch(&path, 0)?;
        // A server that fails to start leaves no folder: `folder` is kept only from here on.
        let server = create(&path)?;
        usage::record()?;
        Ok(Self { folder: folder.keep(), server, _user: user })
    }

    /// Makes a hot standby of this cluster, whose settings need `wal_level = replica` and `max_wal_senders`.
    /// `name` is what the primary knows it by.
    ///
    /// # Panics
    /// Where it cannot be made or started: the sentence says why.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        or_fail(Self::within(&place::root(), |folder| Server::replicate(folder, &self.server, name)))
    }

    /// An empty database of its own in this cluster.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn database(&self) -> TestPostgres {
        or_fail(TestPostgres::on(&self.server.url("postgres")).await)
    }

    /// The URL of the database named `postgres`, for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url("postgres")
    }

    /// The TCP port on 127.0.0.1, the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The superuser's name.
    #[must_use]
    pub fn user(&self) -> &str {
        USER
    }

    /// The superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.server.password
    }

    /// The server's log so far, also after it has stopped.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The data folder, where configuration and certificates lie.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.server.data()
    }

    /// A shell that runs `script` as the server's account, with the server's programs, as its superuser.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        self.server.shell(script)
    }

    /// Stops the server, and waits until it is gone.
    ///
    /// # Panics
    /// Where it does not stop within a minute.
    pub fn stop(&self, how: Shutdown) {
        or_fail(self.server.stop(how));
    }

    /// Starts the server again after [`Self::stop`], on the same port, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&self) {
        or_fail(self.server.start());
    }

    /// Kills the server and all its processes at once, as when the machine goes.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&self) {
        or_fail(self.server.signal("KILL"));
    }

    /// Stops the server and all its processes where they are, until [`Self::thaw`].
    ///
    /// # Panics
    /// Where it does not run.
    pub fn freeze(&self) {
        or_fail(self.server.signal("STOP"));
    }

    /// Lets what [`Self::freeze`] has stopped go on.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn thaw(&self) {
        or_fail(self.server.signal("CONT"));
    }

    /// Makes a primary of this standby, and waits until it is one.
    ///
    /// # Panics
    /// Where it is none.
    pub fn promote(&self) {
        or_fail(self.server.promote());
    }

    /// Has the server read `postgresql.conf`, `pg_hba.conf` and its certificates again.
    ///
    /// # Panics
    /// Where the server does not run.
    pub fn reload(&self) {
        or_fail(self.server.reload());
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        // What fails here is left to the watchdog, which ends the cluster once its lock is free.
        let _ended = Server::end(&self.folder);
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// What the names of private clusters' folders begin with.
fn prefix() -> Result<String> {
    Ok(format!("lcs-postgres-private-{}-", account::current_uid()?))
}

/// Has the folders of clusters removed whose watchdog, too, was killed.
pub(super) fn sweep() -> Result<()> {
    let prefix = prefix()?;
    for entry in fs::read_dir(place::root())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // It waits for users, if there are any, like every watchdog; and goes if there is one already.
            // Somebody may remove the folder meanwhile: then there is nothing to watch.
            let _watched = fs::canonicalize(entry.path()).map(|folder| Server::watch(&folder, 0));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_private_cluster_has_its_settings_its_log_and_its_crashes() {
        let cluster = PrivateCluster::start(&["log_min_duration_statement = 0", "max_connections = 20"]);
        let database = cluster.database().await;
        assert_eq!(database.value("SHOW max_connections").await.as_deref(), Some("20"));
        assert!(cluster.log().contains("SHOW max_connections"));

        database.execute("CREATE TABLE kept AS SELECT 1 AS a").await;
        for how in [Shutdown::Immediate, Shutdown::Fast] {
            cluster.stop(how);
            assert!(std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
            cluster.restart();
            assert_eq!(database.value("SELECT a FROM kept").await.as_deref(), Some("1"));
        }

        let folder = cluster.folder.clone();
        drop(cluster);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_standby_follows_until_it_is_promoted() {
        let primary = PrivateCluster::start(&["wal_level = replica", "max_wal_senders = 4"]);
        let standby = primary.standby("standby");
        let database = primary.database().await;
        database.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        primary.reload();
        // Acknowledged when the standby has it.
        database.execute("CREATE TABLE kept AS SELECT 1 AS a").await;
        primary.stop(Shutdown::Immediate);
        standby.promote();
        let url = standby.server.url(database.database());
        let client = super::super::connection::open(&url).await.unwrap();
        let kept: i32 = client.query_one("SELECT a FROM kept", &[]).await.unwrap().get(0);
        assert_eq!(kept, 1);
        client.batch_execute("INSERT INTO kept VALUES (2)").await.unwrap();
    }

    #[test]
    fn a_wrong_setting_is_told_in_the_servers_words_and_leaves_nothing() {
        let options = PrivateOptions { settings: &["no_such_setting = 1"], ..PrivateOptions::default() };
        let error = PrivateCluster::make(&options).unwrap_err().to_string();
        assert!(error.contains("no_such_setting"), "{error}");
    }
}
