//! A machine on which nothing is configured but what the documents assume.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::fixture;

/// Where the documents' service listens. The test's own listens where there is a free port.
const ADDRESS: &str = "http://127.0.0.1:8080";

pub(crate) struct FreshMachine {
    folder: TempDir,
}

impl FreshMachine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_lcs-persistence"), folder.path().join("lcs-persistence")).unwrap();
        let archive = folder.path().join("archive");
        let yaml = format!(
            "persistence:\n  type: sqlite\n  sqlite: {{path: conversations.sqlite}}\n  enable_archival: true\n  \
             archive_url: file://{}\n",
            archive.display()
        );
        fs::write(folder.path().join("lightspeed-stack.yaml"), yaml).unwrap();
        // What the documents import.
        fixture::lcs_cache_sqlite_whole(&folder.path().join("lcs-cache.sqlite"));
        fixture::openai_agents_sqlite_whole(&folder.path().join("agents.sqlite"));
        let machine = Self { folder };
        // `doctor` is for a system that runs: its schema is there.
        machine.run("lcs-persistence migrate run --config lightspeed-stack.yaml", None);
        machine.run("lcs-persistence migrate run", None);
        machine
    }

    /// What the command answers. One that asks the service asks `service`, and is not content with a refusal
    /// unless it is what the command shows.
    pub(crate) fn run(&self, command: &str, service: Option<&Serving>) -> String {
        let mut ours = command.to_owned();
        if command.starts_with("curl ") {
            let service = service.unwrap_or_else(|| panic!("nothing serves yet: {command}"));
            assert!(command.contains(ADDRESS), "{command}");
            ours = ours.replace(ADDRESS, &service.address);
            if !command.contains("%{http_code}") {
                ours = ours.replacen("curl ", "curl --fail-with-body ", 1);
            }
        }
        let output = self.command(&ours).output().unwrap();
        let (answer, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {}: {answer} {errors}", output.status);
        answer
    }

    /// Begins to serve, and waits until it does.
    pub(crate) fn serve(&self, command: &str) -> Serving {
        let mut serving =
            self.command(&format!("exec {command} --port 0")).stdout(Stdio::piped()).spawn().unwrap();
        let mut answer = BufReader::new(serving.stdout.take().unwrap());
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let address = line.strip_prefix("Listening at ").and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("{command}: {line}")).to_owned();
        Serving { process: serving, address, _answer: answer }
    }

    fn command(&self, command: &str) -> Command {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("LCS_PERSISTENCE_DATABASE_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        shell
    }
}

/// A service that runs until this is dropped: then it is asked to end, as by Ctrl-C, and does.
pub(crate) struct Serving {
    process: Child,
    address: String,
    /// It would fail to print to a pipe that is closed.
    _answer: BufReader<ChildStdout>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        if std::thread::panicking() || !asked.is_ok_and(|status| status.success()) {
            // It must not outlive the test.
            let _ = self.process.kill();
        }
        let ended = self.process.wait();
        assert!(
            std::thread::panicking() || ended.is_ok_and(|status| status.success()),
            "it did not end well"
        );
    }
}
