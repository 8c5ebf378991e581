//! A process that serves, and the place that it serves from: a home with a configuration, on a store.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lcs_storage::testing::TestPostgres;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::client::Client;

/// Stands in every question and answer, and in nothing else.
pub(crate) const CANARY: &str = "kanarie";
/// How long anything may take that is waited for: a machine that does much else is slow.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Where processes serve from: those of one place share its store.
#[derive(Clone)]
pub(crate) struct Place(Arc<Inner>);

struct Inner {
    home: TempDir,
    arguments: Vec<String>,
    /// What no log may hold beside what is said.
    secrets: Vec<String>,
    processes: AtomicU32,
}

impl Place {
    /// The default: a SQLite file in the home.
    pub(crate) fn sqlite() -> Self {
        Self::make(Vec::new(), "", &[])
    }

    /// On this database.
    pub(crate) fn postgres(database: &TestPostgres) -> Self {
        Self::at(database.url(), "", &[database.password()])
    }

    /// On the store at `database_url`, with more lines for the section `persistence`.
    pub(crate) fn at(database_url: &str, configuration: &str, secrets: &[&str]) -> Self {
        Self::make(vec!["--database-url".into(), database_url.into()], configuration, secrets)
    }

    /// On the default store with lines for the section `persistence`.
    pub(crate) fn configured(configuration: &str, secrets: &[&str]) -> Self {
        Self::make(Vec::new(), configuration, secrets)
    }

    fn make(mut arguments: Vec<String>, configuration: &str, secrets: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        if !configuration.is_empty() {
            let lines = configuration.replace('\n', "\n  ");
            let file = home.path().join("lightspeed-stack.yaml");
            fs::write(&file, format!("persistence:\n  {lines}\n")).unwrap();
            arguments.extend(["--config".to_owned(), file.to_str().unwrap().to_owned()]);
        }
        let secrets = secrets.iter().filter(|secret| !secret.is_empty()).map(|&secret| secret.to_owned());
        let secrets = secrets.collect();
        Self(Arc::new(Inner { home, arguments, secrets, processes: AtomicU32::new(0) }))
    }

    /// A file in the home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.home.path().join(name)
    }

    /// A command that is not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let home = self.0.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcs-persistence"));
        command.args(arguments).args(&self.0.arguments).current_dir(home);
        command.env("HOME", home).env("XDG_DATA_HOME", home);
        // What the developer's own shell says is not what is tested.
        for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What `serve` says where it ends by itself.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&[&["serve"], arguments].concat());
        timeout(PATIENCE, command.output()).await.unwrap().unwrap()
    }

    /// A process that serves.
    pub(crate) async fn serve(&self) -> Process {
        self.serve_with(&["--log-level", "debug"]).await
    }

    /// The same with other arguments.
    pub(crate) async fn serve_with(&self, arguments: &[&str]) -> Process {
        let number = self.0.processes.fetch_add(1, Ordering::Relaxed);
        let log = self.0.home.path().join(format!("serve-{number}.log"));
        let mut command = self.command(&[&["serve", "--json", "--port", "0"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::from(File::create(&log).unwrap()));
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap();
        let Some(line) = line else { panic!("it does not serve: {}", fs::read_to_string(&log).unwrap()) };
        let listening: Value = serde_json::from_str(&line).unwrap();
        let url = listening["url"].as_str().unwrap().to_owned();
        Process { client: Client::new(&url), url, child, log, place: self.clone() }
    }
}

/// A process that serves. It is killed when this is dropped, and its log is looked through.
pub(crate) struct Process {
    pub(crate) client: Client,
    pub(crate) url: String,
    child: Child,
    log: PathBuf,
    place: Place,
}

impl Process {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged `text`.
    pub(crate) async fn logged(&self, text: &str) {
        until(&format!("it logs {text:?}"), async || self.log().contains(text)).await;
    }

    /// Sends it a signal: `-INT`, `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.signal("-TERM");
        let ended = self.ended().await;
        assert_eq!(ended.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let log = self.log();
        if std::thread::panicking() {
            let end: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the end of its log:\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            return;
        }
        let secrets = self.place.0.secrets.iter().map(String::as_str);
        for secret in secrets.chain([CANARY]) {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "what was said, or a secret, is in the log");
        }
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Waits until `holds`, and fails where that is never.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "after a minute still not: {what}");
}
