//! A replica: a process that serves, behind a proxy of its own.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lcs_tests::chaos::http::Address;
use lcs_tests::chaos::replica::{Failure, MARKER};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::proxy::Proxy;

/// How long a process may take to serve, or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happens while the database is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Journal,
    Memory,
    Refuse,
}

impl Mode {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Memory => "memory",
            Self::Refuse => "refuse",
        }
    }
}

/// A replica.
pub(crate) struct Service {
    pub(crate) proxy: Proxy,
    pub(crate) address: Address,
    home: PathBuf,
    password: String,
    child: Mutex<Option<Child>>,
}

impl Service {
    /// A replica that does not serve yet, in a folder of its own.
    pub(crate) fn new(home: &Path, proxy: Proxy, database: &Database, mode: Mode) -> Result<Self, Failure> {
        std::fs::create_dir_all(home)?;
        let Database { name, user, password } = database;
        let (port, mode) = (proxy.port, mode.word());
        let journal = match mode {
            "journal" => format!("    journal_path: {}\n", home.join("journal").display()),
            _ => String::new(),
        };
        let configuration = format!(
            "persistence:\n  type: postgresql\n  database:\n    host: 127.0.0.1\n    port: {port}\n    \
             name: {name}\n    username: {user}\n    password: {password}\n    ssl_mode: disable\n    \
             pool_size: 8\n    max_overflow: 4\n    pool_timeout: 2\n  fallback:\n    mode: {mode}\n{journal}  \
             service:\n    retention_interval_seconds: 0\n    shutdown_timeout_seconds: 5\n",
        );
        std::fs::write(home.join("lightspeed-stack.yaml"), configuration)?;
        let (home, password) = (home.to_owned(), password.clone());
        Ok(Self { proxy, address: Address::default(), home, password, child: Mutex::new(None) })
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Result<Command, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(program);
        command.args(["--log-level", "warn", "--json", "--config", "lightspeed-stack.yaml"]);
        command.args(arguments).current_dir(&self.home);
        command.env("HOME", &self.home).env("XDG_DATA_HOME", &self.home);
        // What the developer's own shell says is not what is tested.
        for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(log)).kill_on_drop(true);
        Ok(command)
    }

    /// What a command of the program says.
    async fn said(&self, program: &Path, arguments: &[&str]) -> Result<Value, Failure> {
        let output = timeout(PATIENCE, self.command(program, arguments)?.output()).await??;
        if !output.status.success() {
            return Err(
                format!("{arguments:?} ended with {}: see {}", output.status, self.log().display()).into()
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until nothing is left in its journal that the database has not refused.
    pub(crate) async fn until_replayed(&self, program: &Path) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let waiting = self.said(program, &["journal", "list"]).await?;
            if waiting.get("entries").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                return Ok(());
            }
            sleep(Duration::from_millis(500)).await;
        }
        Err("the journal is not replayed".into())
    }

    /// Does as an operator would: has every turn and conversation that the database refused tried once more.
    /// Gives how many there were.
    pub(crate) async fn retry_conflicts(&self, program: &Path) -> Result<usize, Failure> {
        let refused = self.said(program, &["journal", "conflicts"]).await?;
        let refused = refused.get("conflicts").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut count = 0;
        for conflict in refused {
            // An agent's state that lost to another replica's loses again: it is made again from the turns.
            if conflict.get("kind").and_then(Value::as_str) == Some("save") {
                continue;
            }
            let text = |name| conflict.get(name).map(Value::to_string).unwrap_or_default();
            self.said(program, &["journal", "retry", &text("number"), "--slot", &text("slot")]).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Starts the process, and waits until it serves.
    pub(crate) async fn start(&self, program: &Path) -> Result<(), Failure> {
        let mut command = self.command(program, &["serve", "--port", "0"])?;
        let mut child = command.spawn()?;
        let said = child.stdout.take().ok_or("it says nothing")?;
        let line = timeout(PATIENCE, BufReader::new(said).lines().next_line()).await??;
        let line = line.ok_or_else(|| format!("a replica does not serve: see {}", self.log().display()))?;
        let listening: Value = serde_json::from_str(&line)?;
        let url =
            listening.get("url").and_then(Value::as_str).ok_or("a replica does not say where it serves")?;
        self.address.set(url.trim_start_matches("http://"));
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Ends the process as a power cut would.
    pub(crate) async fn kill(&self) -> Result<(), Failure> {
        if let Some(mut child) = self.taken() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) async fn stop(&self) -> Result<(), Failure> {
        let Some(mut child) = self.taken() else { return Ok(()) };
        let id = child.id().ok_or("a replica has ended by itself")?;
        signal("-TERM", &[id]).await?;
        let status = timeout(PATIENCE, child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("a replica ended with {status}").into()) }
    }

    /// How many lines of its log show what was said, or the database's password.
    pub(crate) fn secrets_in_log(&self) -> Result<usize, Failure> {
        let log = std::fs::read_to_string(self.log())?;
        let shows = |line: &&str| line.contains(MARKER) || line.contains(&self.password);
        Ok(log.lines().filter(shows).count())
    }

    fn taken(&self) -> Option<Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn log(&self) -> PathBuf {
        self.home.join("serve.log")
    }
}

/// The database that replicas use.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Sends processes a signal; one that is gone is none.
pub(crate) async fn signal(signal: &str, ids: &[u32]) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let mut kill = Command::new("kill");
    kill.arg(signal).args(&ids).stderr(Stdio::null());
    kill.status().await?;
    Ok(())
}
