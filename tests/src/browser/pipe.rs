//! The two pipes to a browser: what it is told, and what it says.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::PATIENCE;

/// A browser that is spoken to.
#[derive(Debug)]
pub(super) struct Pipe {
    _child: Child,
    _profile: TempDir,
    told: Mutex<File>,
    next: AtomicU64,
    said: Arc<Said>,
}

/// What it has said.
#[derive(Debug, Default)]
struct Said {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    events: Mutex<Vec<(String, Value)>>,
    more: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    pub(super) async fn open() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let [told, said] = ["told", "said"].map(|name| profile.path().join(name));
        assert!(Command::new("mkfifo").args([&told, &said]).status().await.unwrap().success());
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec 3<\"$0\" 4>\"$1\"; shift; exec \"$@\""])
            .arg(&told)
            .arg(&said)
            .arg(&program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.args(["--hide-scrollbars", "--remote-debugging-pipe"]);
        // Nothing of it is to be asked of anybody.
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.arg("--host-resolver-rules=MAP lcs.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
        command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let opened = tokio::task::spawn_blocking(move || {
            let told = OpenOptions::new().write(true).open(told)?;
            Ok::<_, std::io::Error>((told, File::open(said)?))
        });
        let (told, reader) = timeout(PATIENCE, opened).await.unwrap().unwrap().unwrap();
        let said = Arc::new(Said::default());
        let hears = Arc::clone(&said);
        std::thread::spawn(move || hears.listen(reader));
        let pipe =
            Self { _child: child, _profile: profile, told: Mutex::new(told), next: AtomicU64::new(1), said };
        let version = timeout(PATIENCE, pipe.call(None, "Browser.getVersion", json!({}))).await;
        assert!(version.is_ok(), "{program} does not answer: install Debian's chromium, or set CHROMIUM");
        pipe
    }

    /// Asks the browser, or one of its pages.
    pub(super) async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        locked(&self.said.waiting).insert(id, answer);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let written = locked(&self.told).write_all(&bytes);
        assert!(written.is_ok(), "the browser is gone: {written:?}");
        let answer = timeout(PATIENCE, answered).await;
        let Ok(Ok(answer)) = answer else { panic!("{method} is not answered") };
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// What has been heard of this kind.
    pub(super) fn heard(&self, kind: &str) -> Vec<Value> {
        let events = locked(&self.said.events);
        events.iter().filter(|(of, _)| of == kind).map(|(_, event)| event.clone()).collect()
    }

    /// Waits until something is heard.
    pub(super) async fn wait(&self) {
        // What was heard just before this is not missed for long.
        let _ = timeout(std::time::Duration::from_millis(50), self.said.more.notified()).await;
    }
}

impl Said {
    fn listen(&self, reader: File) {
        for message in BufReader::new(reader).split(0) {
            let Ok(message) = message else { return };
            let Ok(mut message) = serde_json::from_slice::<Value>(&message) else { continue };
            if let Some(id) = message["id"].as_u64() {
                if let Some(waiting) = locked(&self.waiting).remove(&id) {
                    let _ = waiting.send(message);
                }
            } else {
                let kind = message["method"].as_str().unwrap_or_default().to_owned();
                locked(&self.events).push((kind, message["params"].take()));
                self.more.notify_waiters();
            }
        }
    }
}
