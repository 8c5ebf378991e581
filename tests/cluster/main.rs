//! The tests' PostgreSQL: many processes share it, and whatever becomes of them, nothing is left behind.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use lcs_storage::testing::PrivateCluster;

/// A process that uses a test database, as a test would.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
}

impl Worker {
    fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_database-worker"));
        command.env("TEST_POSTGRES_FOLDER", folder).env_remove("TEST_DATABASE_URL");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        Self { input: child.stdin.take(), child }
    }

    /// Waits until it has its database.
    fn url(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("postgres://"), "the worker gave no URL: {line}");
        line.trim_end().to_owned()
    }

    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Waits until `holds`; a test that waits for ever is ended by the runner, with its name.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after a minute still not: {what}");
}

async fn answers(url: &str) -> bool {
    let Ok((client, connection)) = tokio_postgres::connect(url, tokio_postgres::NoTls).await else {
        return false;
    };
    tokio::spawn(connection);
    client.batch_execute("SELECT 1").await.is_ok()
}

/// A folder for clusters that the server's account may pass through.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// The processes whose command line names `folder`, with the first word of that command line.
fn processes(folder: &Path) -> Vec<(u32, String)> {
    let folder = folder.to_str().unwrap();
    let ids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(folder).then(|| (id, line.split(' ').next().unwrap_or_default().to_owned()))
    })
    .collect()
}

#[tokio::test]
async fn eight_processes_share_one_cluster_and_killed_ones_leave_nothing() {
    let folder = folder();
    let mut workers: Vec<_> = (0..8).map(|_| Worker::start(&mut Worker::command(folder.path()))).collect();
    let urls: Vec<_> = workers.iter_mut().map(Worker::url).collect();
    let server = |url: &String| url.rsplit_once('/').unwrap().0.to_owned();
    assert!(urls.iter().all(|url| server(url) == server(&urls[0])), "{urls:?}");
    for (index, url) in urls.iter().enumerate() {
        assert!(!urls[..index].contains(url));
        assert!(answers(url).await);
    }

    for worker in workers.drain(..4) {
        worker.end();
    }
    for (index, url) in urls.iter().enumerate() {
        assert_eq!(answers(url).await, index >= 4, "whoever ends drops its own database");
    }
    for worker in workers {
        worker.kill();
    }
    until("the folder is removed", async || is_empty(folder.path())).await;
    until("no process is left", async || processes(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn a_cluster_whose_watchdog_was_killed_too_is_taken_over_by_the_next() {
    let folder = folder();
    let mut first = Worker::start(&mut Worker::command(folder.path()));
    let url = first.url();
    let watchdogs = processes(folder.path()).into_iter().filter(|(_, program)| program == "sh");
    let ids: Vec<_> = watchdogs.map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert!(Command::new("kill").arg("-KILL").args(&ids).status().unwrap().success());
    first.kill();
    assert!(answers(&url).await, "nobody is left who could have ended it");

    let mut second = Worker::start(&mut Worker::command(folder.path()));
    assert!(answers(&second.url()).await && answers(&url).await, "the cluster that still runs is used");
    second.end();
    until("the folder is removed", async || is_empty(folder.path())).await;
    until("no process is left", async || processes(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_crashed_is_replaced() {
    let folder = folder();
    let mut first = Worker::start(&mut Worker::command(folder.path()));
    let url = first.url();
    let servers = processes(folder.path()).into_iter().filter(|(_, program)| program.ends_with("/postgres"));
    for (id, _) in servers {
        assert!(Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap().success());
    }
    until("the server is gone", async || !answers(&url).await).await;
    let mut second = Worker::start(&mut Worker::command(folder.path()));
    assert!(answers(&second.url()).await);
    first.kill();
    second.kill();
    until("the folder is removed", async || is_empty(folder.path())).await;
}

#[tokio::test]
async fn on_somebody_elses_server_the_databases_of_the_killed_are_swept() {
    let cluster = PrivateCluster::start(&[]);
    let folder = folder();
    let external = || {
        let mut worker = Worker::command(folder.path());
        Worker::start(worker.env("TEST_DATABASE_URL", cluster.url()))
    };
    let (mut killed, mut living) = (external(), external());
    let (killed_url, living_url) = (killed.url(), living.url());
    assert!(answers(&killed_url).await && answers(&living_url).await);
    killed.kill();

    // Its lock goes when the server notices that its connection is gone.
    until("the killed one's database is swept, the living one's is not", async || {
        let mut next = external();
        next.url();
        assert!(answers(&living_url).await);
        next.end();
        !answers(&killed_url).await
    })
    .await;
    living.end();
    assert!(!answers(&living_url).await);
    assert!(is_empty(folder.path()), "no cluster is started");
}

#[test]
fn without_binaries_a_test_fails_with_what_to_do() {
    let folder = folder();
    let mut command = Worker::command(folder.path());
    let mut worker = command.env("PG_BIN", "/nonexistent").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!worker.wait().unwrap().success());
    assert!(said.contains("PG_BIN is /nonexistent, which holds no `initdb`"), "{said}");
}
