//! R15: `migrate run` as replicas run it: many at once, and killed at every boundary between two statements.

#![cfg(test)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lcs_storage::testing::{TestPostgres, program};
use lcs_tests::proxy::{Failure, Proxy};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command as Process;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_mins(1);

/// `migrate run` on the store at `url`.
fn migrate(home: &Path, url: &str) -> Process {
    let mut command = Process::new(env!("CARGO_BIN_EXE_lcs-persistence"));
    command.args(["--json", "--database-url", url, "migrate", "run"]).current_dir(home).env("HOME", home);
    for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end: the migrations that it applied.
async fn applied(home: &Path, url: &str) -> Vec<String> {
    let output = timeout(PATIENCE, migrate(home, url).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["applied"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The schema, and which migrations the database says that it has.
async fn schema(database: &TestPostgres) -> String {
    let mut command = Command::new(program("pg_dump"));
    let output = command.args(["--schema-only", "--dbname", database.url()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    // What is drawn anew for each dump.
    let lines =
        dump.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    let versions = "SELECT string_agg(version, ' ' ORDER BY version) FROM __diesel_schema_migrations";
    let versions = database.value(versions).await.unwrap_or_default();
    lines.collect::<Vec<_>>().join("\n") + &versions
}

/// The URL of the same database through the proxy.
fn through(database: &TestPostgres, proxy: &Proxy) -> String {
    let here = format!("{}:{}", database.host(), database.port());
    let url = database.url().replace(&here, &format!("127.0.0.1:{}", proxy.port()));
    assert_ne!(url, database.url(), "the proxy is not in between");
    format!("{url}?sslmode=disable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_a_migration_killed_at_any_statement_is_finished_by_the_next() {
    let home = TempDir::new().unwrap();
    let database = TestPostgres::create().await;
    let proxy = Proxy::start(database.host(), database.port()).await.unwrap();
    let names = applied(home.path(), &through(&database, &proxy)).await;
    let (messages, whole) = (proxy.seen(), schema(&database).await);
    assert!(!names.is_empty() && messages > 20, "{names:?}: {messages} messages");
    drop((database, proxy));

    let (mut nothing, mut part) = (0, 0);
    for number in 1..=messages {
        let database = TestPostgres::create().await;
        let proxy = Proxy::start(database.host(), database.port()).await.unwrap();
        proxy.fail(number, Failure::Held, false);
        let mut killed = migrate(home.path(), &through(&database, &proxy)).spawn().unwrap();
        timeout(PATIENCE, proxy.failed()).await.unwrap();
        killed.kill().await.unwrap();
        // The next one waits for the lock until the server has seen that the first is gone.
        let rest = applied(home.path(), database.url()).await;
        assert!(names.ends_with(&rest), "message {number}: {rest:?}");
        nothing += u32::from(rest == names);
        part += u32::from(rest != names && !rest.is_empty());
        assert_eq!(schema(&database).await, whole, "killed at message {number} of {messages}");
        assert_eq!(applied(home.path(), database.url()).await, Vec::<String>::new(), "message {number}");
    }
    println!("{messages} messages: killed before anything was done {nothing}, between migrations {part}");
    assert!(nothing > 0 && part > 0, "it was not killed between two migrations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_eight_migrate_at_once_and_each_migration_is_applied_by_one() {
    let home = TempDir::new().unwrap();
    let mut known: Option<(Vec<String>, String)> = None;
    for round in 0..20 {
        let database = TestPostgres::create().await;
        // All are there, and none may begin, until the lock that they need is given back.
        let gate = database.client().await;
        let lock = "SELECT pg_advisory_lock(hashtext('lcs-persistence migration'), hashtext('public'))";
        gate.batch_execute(lock).await.unwrap();
        let migrating: Vec<_> =
            (0..8).map(|_| migrate(home.path(), database.url()).spawn().unwrap()).collect();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND application_name = 'lcs-persistence' AND query LIKE '%pg_try_advisory_lock%'";
        timeout(PATIENCE, async { while database.value(waiting).await.as_deref() != Some("8") {} })
            .await
            .unwrap();
        drop(gate);
        let mut applied = Vec::new();
        for process in migrating {
            let output = timeout(PATIENCE, process.wait_with_output()).await.unwrap().unwrap();
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            let names = answer["applied"].as_array().unwrap().iter();
            applied.extend(names.map(|name| name.as_str().unwrap().to_owned()));
        }
        applied.sort();
        let after = (applied, schema(&database).await);
        assert_eq!(known.get_or_insert_with(|| after.clone()), &after, "round {round}");
        let mut names = after.0;
        names.dedup();
        assert_eq!(names, known.as_ref().unwrap().0, "round {round}: each was applied once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_a_sqlite_file_whose_migration_is_killed_is_migrated_by_the_next() {
    let reference = TempDir::new().unwrap();
    let url = |home: &TempDir| format!("sqlite:{}", home.path().join("x.sqlite").display());
    let began = tokio::time::Instant::now();
    let names = applied(reference.path(), &url(&reference)).await;
    let whole = began.elapsed();
    let mut rests = Vec::new();
    // From before its first statement to behind its last: the whole run in forty steps.
    for step in 0..40_u32 {
        let home = TempDir::new().unwrap();
        let mut killed = migrate(home.path(), &url(&home)).spawn().unwrap();
        tokio::time::sleep(whole * step / 36).await;
        killed.kill().await.unwrap();
        let rest = applied(home.path(), &url(&home)).await;
        assert!(rest.is_empty() || rest == names, "step {step}: {rest:?}: all of them, or none");
        assert_eq!(applied(home.path(), &url(&home)).await, Vec::<String>::new(), "step {step}");
        rests.push(rest.len());
    }
    println!("left to do after the kill: {rests:?}");
    assert!(rests.contains(&names.len()), "none was killed before it was done");
}
