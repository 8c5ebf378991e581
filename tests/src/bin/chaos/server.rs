//! The PostgreSQL server that the replicas use, and what can be done to it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lcs_storage::testing::{PrivateCluster, Shutdown, TestPostgres};
use lcs_tests::chaos::replica::Failure;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::process::signal;
use super::service::Database;

/// What is committed is on the disk, as in production; that nothing else disturbs it is the clusters' default.
pub(crate) const SETTINGS: [&str; 9] = [
    "fsync = on",
    "full_page_writes = on",
    "synchronous_commit = on",
    "wal_level = replica",
    "max_wal_senders = 4",
    "max_connections = 100",
    "shared_buffers = 64MB",
    "checkpoint_timeout = 5min",
    // In the data folder, so that a server that is killed for good leaves nothing behind.
    "dynamic_shared_memory_type = mmap",
];
/// How long a server may take to be there again.
const PATIENCE: Duration = Duration::from_mins(1);

/// The sessions of the replicas.
pub(crate) const SESSIONS: &str = "FROM pg_stat_activity WHERE application_name = 'lcs-persistence'";

/// Rows that do not fit together.
const INCONSISTENT: &str = "SELECT \
    (SELECT count(*) FROM conversation_turns t LEFT JOIN conversations c USING (conversation_id) \
      WHERE c.conversation_id IS NULL) \
  + (SELECT count(*) FROM conversations c WHERE c.turn_count <> \
      (SELECT count(*) FROM conversation_turns t WHERE t.conversation_id = c.conversation_id)) \
  + (SELECT count(*) FROM agent_states s LEFT JOIN conversations c USING (conversation_id) \
      WHERE c.conversation_id IS NULL OR s.revision > c.state_revision OR s.through_turn > c.turn_count)";

/// A server, and the replicas' database on it.
pub(crate) struct Server {
    cluster: Arc<PrivateCluster>,
    database: Arc<TestPostgres>,
    url: String,
}

impl Server {
    /// Starts a server with an empty database.
    pub(crate) async fn start() -> Result<Self, Failure> {
        Self::start_as(|| PrivateCluster::start(&SETTINGS)).await
    }

    /// Starts a server, made by `make`, with an empty database.
    pub(crate) async fn start_as(
        make: impl FnOnce() -> PrivateCluster + Send + 'static,
    ) -> Result<Self, Failure> {
        let cluster = tokio::task::spawn_blocking(make).await?;
        let database = Arc::new(cluster.database().await);
        let url = database.url().to_owned();
        Ok(Self { cluster: Arc::new(cluster), database, url })
    }

    /// A standby of this server, which waits for it only after [`Self::synchronize`].
    pub(crate) async fn standby(&self) -> Result<Self, Failure> {
        let cluster = Arc::clone(&self.cluster);
        let standby = tokio::task::spawn_blocking(move || cluster.standby("chaos")).await?;
        let url = self.url.replace(&format!(":{}/", self.cluster.port()), &format!(":{}/", standby.port()));
        Ok(Self { cluster: Arc::new(standby), database: Arc::clone(&self.database), url })
    }

    /// From here on, what is acknowledged is at the standby.
    pub(crate) async fn synchronize(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        // Not in the standby's copy: once promoted, it waits for nobody.
        client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        client.batch_execute("SELECT pg_reload_conf()").await?;
        let began = Instant::now();
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while client.query_one(synchronous, &[]).await?.try_get::<_, i64>(0)? == 0 {
            if began.elapsed() > PATIENCE {
                return Err("the standby does not become synchronous".into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Stops the process that sends the standby what is written.
    pub(crate) async fn stop_sending(&self) -> Result<(), Failure> {
        let sender = "SELECT pid FROM pg_stat_replication";
        let pid: i32 = self.client().await?.query_one(sender, &[]).await?.try_get(0)?;
        signal("-STOP", &[u32::try_from(pid)?]).await
    }

    /// How far its log is written, in bytes.
    pub(crate) async fn written(&self) -> Result<i64, Failure> {
        self.position("pg_current_wal_flush_lsn()").await
    }

    /// How far this standby has received the log of its primary, in bytes.
    pub(crate) async fn received(&self) -> Result<i64, Failure> {
        self.position("pg_last_wal_receive_lsn()").await
    }

    async fn position(&self, of: &str) -> Result<i64, Failure> {
        let sql = format!("SELECT ({of} - '0/0')::bigint");
        Ok(self.client().await?.query_one(&sql, &[]).await?.try_get(0)?)
    }

    /// Makes this standby the primary.
    pub(crate) async fn promote(&self) -> Result<(), Failure> {
        let cluster = Arc::clone(&self.cluster);
        Ok(tokio::task::spawn_blocking(move || cluster.promote()).await?)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.cluster.port()).into()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn database(&self) -> Database {
        Database {
            name: self.database.database().to_owned(),
            user: self.database.user().to_owned(),
            password: self.database.password().to_owned(),
        }
    }

    /// A connection that no proxy stands before.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        connect(&self.url).await
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        self.cluster.log()
    }

    /// The server's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.cluster.data()
    }

    /// Has the server read its configuration and its certificate again.
    pub(crate) async fn reload(&self) -> Result<(), Failure> {
        let cluster = Arc::clone(&self.cluster);
        Ok(tokio::task::spawn_blocking(move || cluster.reload()).await?)
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// Waits until it answers.
    pub(crate) async fn until_accepting(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            if let Ok(client) = self.client().await
                && client.batch_execute("SELECT 1").await.is_ok()
            {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err("the server does not come back".into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends sessions of the replicas: so many, or all.
    pub(crate) async fn terminate(&self, count: Option<u32>) -> Result<(), Failure> {
        let limit = count.map(|count| format!("LIMIT {count}")).unwrap_or_default();
        let pids = format!("SELECT pid {SESSIONS} ORDER BY state = 'active' DESC, pid {limit}");
        self.client()
            .await?
            .execute(&format!("SELECT pg_terminate_backend(pid) FROM ({pids}) s"), &[])
            .await?;
        Ok(())
    }

    /// Kills the process of one session of the replicas: the server then restarts all of them.
    pub(crate) async fn kill_backend(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        let sql = format!("SELECT pid {SESSIONS} ORDER BY state = 'active' DESC LIMIT 1");
        let rows = client.query(&sql, &[]).await?;
        let pid = rows.first().and_then(|row| row.try_get::<_, i32>(0).ok());
        signal("-KILL", &pid.and_then(|pid| u32::try_from(pid).ok()).into_iter().collect::<Vec<_>>()).await?;
        // The server notices at once; until then it would still answer.
        while client.batch_execute("SELECT 1").await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Ends the server as in a crash, and starts it again.
    pub(crate) async fn restart(&self) -> Result<(), Failure> {
        let cluster = Arc::clone(&self.cluster);
        let restarted = tokio::task::spawn_blocking(move || {
            cluster.stop(Shutdown::Immediate);
            cluster.restart();
        });
        Ok(restarted.await?)
    }

    /// Kills the server's first process and then all others.
    pub(crate) async fn kill(&self) -> Result<(), Failure> {
        let (first, mut others) = self.processes()?;
        signal("-KILL", &[first]).await?;
        signal("-KILL", &others).await?;
        others.push(first);
        while others.iter().any(|id| is_running(*id)) {
            sleep(Duration::from_millis(5)).await;
        }
        // Whoever has to wait for a process that has ended may be late; until then the file would name it.
        Ok(fs::remove_file(self.cluster.data().join("postmaster.pid"))?)
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) async fn start_again(&self) -> Result<(), Failure> {
        let cluster = Arc::clone(&self.cluster);
        Ok(tokio::task::spawn_blocking(move || cluster.restart()).await?)
    }

    /// Has the server stand still for as long as this.
    pub(crate) async fn freeze(&self, lasts: Duration) -> Result<(), Failure> {
        let (first, mut all) = self.processes()?;
        all.push(first);
        signal("-STOP", &all).await?;
        sleep(lasts).await;
        signal("-CONT", &all).await
    }

    /// The server's first process, and all that it has made.
    fn processes(&self) -> Result<(u32, Vec<u32>), Failure> {
        let file = fs::read_to_string(self.cluster.data().join("postmaster.pid"))?;
        let first = file.lines().next().ok_or("the server has no process")?.trim().parse()?;
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // The parent is the second field behind the name, which is in parentheses and may hold anything.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            if parent.and_then(|parent| parent.parse().ok()) == Some(first) {
                ids.insert(id);
            }
        }
        Ok((first, ids.into_iter().collect()))
    }

    /// Makes conversations look as if they had been idle for a day.
    pub(crate) async fn age(&self, ids: &[String]) -> Result<(), Failure> {
        let ids = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "UPDATE conversations SET updated_at = updated_at - interval '1 day' WHERE conversation_id IN ({ids})"
        );
        Ok(self.client().await?.batch_execute(&sql).await?)
    }

    /// Transactions that stand open, and rows that do not fit together.
    pub(crate) async fn left_over(&self) -> Result<(u64, u64), Failure> {
        let client = self.client().await?;
        let open = format!("SELECT count(*) {SESSIONS} AND state LIKE 'idle in transaction%'");
        let open: i64 = client.query_one(&open, &[]).await?.try_get(0)?;
        let inconsistent: i64 = client.query_one(INCONSISTENT, &[]).await?.try_get(0)?;
        Ok((u64::try_from(open)?, u64::try_from(inconsistent)?))
    }
}

/// A connection to the database at `url`.
pub(crate) async fn connect(url: &str) -> Result<Client, Failure> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = timeout(Duration::from_secs(2), connecting).await??;
    tokio::spawn(connection);
    Ok(client)
}

/// A process that has ended and that nobody has waited for yet does not run.
fn is_running(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
