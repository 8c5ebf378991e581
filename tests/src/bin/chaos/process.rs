//! A process of the program, in a folder of its own: its life, its commands, and all that it ever says.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use lcs_tests::chaos::http::Address;
use lcs_tests::chaos::replica::Failure;
use lcs_tests::connection::Connection;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::secret::Search;

/// How long a process may take to serve, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How long its own numbers may take.
const METRICS_PATIENCE: Duration = Duration::from_secs(5);

/// A process that serves, or does not serve now.
pub(crate) struct Process {
    pub(crate) address: Address,
    program: PathBuf,
    home: PathBuf,
    child: Mutex<Option<Child>>,
    search: Search,
}

impl Process {
    /// A process that does not serve yet. None of the `secrets` may be in anything that it says.
    pub(crate) fn new(
        program: &Path,
        home: &Path,
        configuration: &str,
        secrets: &[&str],
    ) -> Result<Self, Failure> {
        // What an earlier run with this seed has left is none of this one.
        if home.exists() {
            std::fs::remove_dir_all(home)?;
        }
        std::fs::create_dir_all(home)?;
        let process = Self {
            address: Address::default(),
            program: program.to_owned(),
            home: home.to_owned(),
            child: Mutex::new(None),
            search: Search::of(secrets),
        };
        File::create(process.log())?;
        process.configure(configuration)?;
        Ok(process)
    }

    /// Has the next start read this configuration.
    pub(crate) fn configure(&self, configuration: &str) -> Result<(), Failure> {
        Ok(std::fs::write(self.home.join("lightspeed-stack.yaml"), configuration)?)
    }

    fn command(&self, form: &[&str], arguments: &[&str]) -> Result<Command, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.program);
        command.args(["--log-level", "warn", "--config", "lightspeed-stack.yaml"]);
        command.args(form).args(arguments).current_dir(&self.home);
        command.env("HOME", &self.home).env("XDG_DATA_HOME", &self.home);
        // What the developer's own shell says is not what is tested.
        for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(log)).kill_on_drop(true);
        Ok(command)
    }

    /// What a command of the program says, as JSON.
    pub(crate) async fn said(&self, arguments: &[&str]) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.output(&["--json"], arguments).await?)?)
    }

    /// What a command of the program says, as people read it.
    pub(crate) async fn shown(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.output(&[], arguments).await
    }

    async fn output(&self, form: &[&str], arguments: &[&str]) -> Result<String, Failure> {
        // Not `output`, which takes what goes to the log for its own.
        let child = self.command(form, arguments)?.spawn()?;
        let output = timeout(PATIENCE, child.wait_with_output()).await??;
        let said = String::from_utf8(output.stdout)?;
        self.search.answer(&said);
        if !output.status.success() {
            return Err(
                format!("{arguments:?} ended with {}: see {}", output.status, self.log().display()).into()
            );
        }
        Ok(said)
    }

    /// Starts the process, and waits until it serves.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        let mut child = self.command(&["--json"], &["serve", "--port", "0"])?.spawn()?;
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

    /// Starts the process, which is to end by itself: its exit code, and the sentence that says why.
    pub(crate) async fn refusal(&self) -> Result<(Option<i32>, String), Failure> {
        let before = std::fs::metadata(self.log())?.len();
        let mut child = self.command(&["--json"], &["serve", "--port", "0"])?.spawn()?;
        let status = timeout(PATIENCE, child.wait()).await.map_err(|_| "it starts")??;
        let said = self.log_from(before)?;
        let sentence = said.lines().rfind(|line| line.contains("error"));
        Ok((status.code(), sentence.unwrap_or("nothing").trim_start_matches("error: ").to_owned()))
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

    /// Its id, while it serves.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Child::id)
    }

    /// One of its numbers.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let mut connection = Connection::new(self.address.get(), METRICS_PATIENCE);
        let answered = connection.ask(Method::GET, "/metrics", &[], None).await;
        let answered = answered.map_err(|broken| format!("no metrics: {broken}"))?;
        let text = std::str::from_utf8(&answered.bytes)?;
        self.search.answer(text);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("there is no metric {name}"))?.parse()?)
    }

    /// Looks for secrets in something that it answered.
    pub(crate) fn search(&self) -> &Search {
        &self.search
    }

    /// What was found in all that it said, its log included.
    pub(crate) fn searched(&self) -> Result<super::secret::Searched, Failure> {
        let mut searched = self.search.found();
        searched.take_log(&self.search, &self.log_from(0)?);
        Ok(searched)
    }

    /// What it has logged.
    pub(crate) fn logged(&self) -> Result<String, Failure> {
        self.log_from(0)
    }

    fn log_from(&self, from: u64) -> Result<String, Failure> {
        let mut log = File::open(self.log())?;
        log.seek(SeekFrom::Start(from))?;
        Ok(std::io::read_to_string(log)?)
    }

    fn taken(&self) -> Option<Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn log(&self) -> PathBuf {
        self.home.join("serve.log")
    }
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
