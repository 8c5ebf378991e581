//! Archive and restore, as an operator works with them: a process each, killed at every step.

#![expect(clippy::indexing_slicing, reason = "a test that looks for what is not there fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use lcs_app::archive::Step;
use lcs_domain::{Clock as _, SystemClock};
use lcs_storage::testing::TestPostgres;
use lcs_tests::object_store_stub::ObjectStoreStub;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::transfer::file;
use crate::{Home, text};

/// A home with a database, archival on, and ways behind the program.
struct Archiving {
    home: Home,
    database: Database,
    config: String,
}

enum Database {
    Sqlite(PathBuf),
    Postgres(Box<(Runtime, TestPostgres)>),
}

impl Database {
    fn sqlite(home: &Home) -> Self {
        Self::Sqlite(home.0.path().join("archived.sqlite"))
    }

    fn postgres() -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(TestPostgres::create());
        Self::Postgres(Box::new((runtime, database)))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(postgres) => postgres.1.url().to_owned(),
        }
    }

    fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                connection.batch_execute(&format!("PRAGMA busy_timeout = 10000; {sql}")).unwrap();
            }
            Self::Postgres(postgres) => drop(postgres.0.block_on(postgres.1.query(sql))),
        }
    }

    /// The only column of the rows, as text.
    fn ask(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            answer: String,
        }
        match self {
            Self::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                connection.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
                let rows: Vec<Row> = diesel::sql_query(sql).load(&mut connection).unwrap();
                rows.into_iter().map(|row| row.answer).collect()
            }
            Self::Postgres(postgres) => {
                let rows = postgres.0.block_on(postgres.1.query(sql));
                rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
            }
        }
    }

    /// The ids of all that is stored, and of all that tombstones name an archive for.
    fn places(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let id = match self {
            Self::Sqlite(_) => "lower(hex(conversation_id))",
            Self::Postgres(_) => "replace(conversation_id::text, '-', '')",
        };
        let stored = self.ask(&format!("SELECT {id} AS answer FROM conversations"));
        let archived = self.ask(&format!(
            "SELECT {id} AS answer FROM conversation_tombstones WHERE reason = 'expired' AND archive_id IS NOT NULL"
        ));
        (stored.into_iter().collect(), archived.into_iter().collect())
    }

    /// Lets all that is stored have been idle since 2023, and nothing be kept for having been restored.
    fn age(&self) {
        let then = match self {
            Self::Sqlite(_) => "1700000000000000",
            Self::Postgres(_) => "to_timestamp(1700000000)",
        };
        self.run(&format!("UPDATE conversations SET updated_at = {then}"));
        self.run("DELETE FROM restorations");
    }
}

impl Archiving {
    /// With so many conversations of two turns each, of three users, that have been idle for long.
    fn new(database: impl FnOnce(&Home) -> Database, conversations: u32) -> Self {
        let home = Home::new();
        let folder = home.0.path().join("archive");
        Self::at(home, &format!("file://{}", folder.display()), database, conversations)
    }

    fn at(home: Home, url: &str, database: impl FnOnce(&Home) -> Database, conversations: u32) -> Self {
        let config = home.0.path().join("stack.yaml");
        fs::write(&config, format!("persistence:\n  enable_archival: true\n  archive_url: {url}\n")).unwrap();
        let (database, config) = (database(&home), config.to_str().unwrap().to_owned());
        let archiving = Self { home, database, config };
        let input = archiving.home.0.path().join("in.jsonl");
        fs::write(&input, file(conversations, 2)).unwrap();
        archiving.json(&["import", input.to_str().unwrap()]);
        archiving.database.age();
        archiving
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<String> {
        let url = self.database.url();
        let here = ["--config", &self.config, "--database-url", &url];
        arguments.iter().chain(&here).map(ToString::to_string).collect()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let all = self.arguments(arguments);
        self.home.json(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let all = self.arguments(arguments);
        self.home.run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let all = self.arguments(arguments);
        self.home.failure(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs it until it has done this step; whether it came to that.
    fn killed_behind(&self, step: Step, arguments: &[&str]) -> bool {
        let all = self.arguments(arguments);
        let mut command = self.home.command(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let output = command.env("LCS_TEST_KILL_BEHIND", step.as_str()).output().unwrap();
        let was_killed = output.status.code().is_none();
        assert!(was_killed || output.status.success(), "{step}: {}", text(&output.stderr));
        was_killed
    }

    /// Everything that is stored, line by line.
    fn exported(&self) -> Vec<String> {
        let all = self.arguments(&["export", "-"]);
        let export = self.home.answer(&all.iter().map(String::as_str).collect::<Vec<_>>());
        export.lines().skip(1).map(str::to_owned).collect()
    }

    /// Nothing is lost, and nothing is in two places: what the database has not, an archive has that is whole.
    fn assert_in_one_place(&self, all: &BTreeSet<String>, when: &str) {
        let (stored, archived) = self.database.places();
        assert_eq!(stored.intersection(&archived).count(), 0, "{when}: in two places");
        assert_eq!(&stored.union(&archived).cloned().collect::<BTreeSet<_>>(), all, "{when}");
        let verified = self.json(&["archive", "verify"]);
        assert_eq!((&verified["damaged"], &verified["unknown"]), (&json!([]), &json!([])), "{when}");
    }

    fn archives(&self) -> Vec<Value> {
        self.json(&["archive", "list"])["archives"].as_array().unwrap().clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = self.home.0.path().join("archive/archives");
        let Ok(archives) = fs::read_dir(folder) else { return Vec::new() };
        let folders = archives.map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = folders
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

fn user(n: u32) -> String {
    format!("018f0000-0000-7000-8001-{n:08x}0000")
}

/// All kill points, in the archiving of everything, in the restoring of one user's, which replaces an archive, and in
/// the restoring of the rest, which empties it.
fn killed_at_every_step(archiving: &Archiving) {
    let before = archiving.exported();
    let (all, _) = archiving.database.places();
    let one_user = user(1);
    let commands: [&[&str]; 3] =
        [&["cleanup", "--per-second", "25"], &["restore", "--user", &one_user], &["restore", "--all"]];
    let mut reached = BTreeSet::new();
    for step in Step::ALL {
        for command in commands {
            let when = format!("{command:?} killed behind {step}");
            if archiving.killed_behind(step, command) {
                reached.insert(step.as_str());
            }
            archiving.assert_in_one_place(&all, &when);
            archiving.json(command);
            archiving.assert_in_one_place(&all, &format!("{when}, and run again"));
            let (stored, archived) = archiving.database.places();
            match command[0] {
                "cleanup" => assert_eq!((stored.len(), &archived), (0, &all), "{when}"),
                _ if command[1] == "--all" => assert_eq!((&stored, archived.len()), (&all, 0), "{when}"),
                _ => assert_eq!(stored.len(), all.len() / 3, "{when}"),
            }
        }
        assert!(archiving.exported() == before, "killed behind {step}: all is as it was");
        archiving.database.age();
    }
    assert_eq!(reached, Step::ALL.iter().map(|step| step.as_str()).collect(), "each step was come to");
    // What was never finished is not there for ever: by its age it is nobody's any more.
    let long_ago = match archiving.database {
        Database::Sqlite(_) => "0",
        Database::Postgres(_) => "now() - interval '1 day'",
    };
    archiving.database.run(&format!("UPDATE archives SET begun_at = {long_ago}"));
    archiving.json(&["restore", "--all"]);
    archiving.json(&["cleanup", "--per-second", "0"]);
    archiving.json(&["restore", "--all"]);
    archiving.database.run(&format!("UPDATE archives SET begun_at = {long_ago}"));
    archiving.json(&["cleanup", "--per-second", "0"]);
    assert_eq!((archiving.archives(), archiving.files()), (vec![], vec![]), "no file is left of any of it");
    assert!(archiving.exported() == before, "all is as it was");
    assert_eq!(archiving.json(&["audit", "verify"])["intact"], true);
    assert_eq!(archiving.json(&["doctor"])["healthy"], true);
}

#[test]
fn killed_at_every_step_on_sqlite_nothing_is_lost_and_nothing_is_there_twice() {
    killed_at_every_step(&Archiving::new(Database::sqlite, 30));
}

#[test]
fn killed_at_every_step_on_postgresql_nothing_is_lost_and_nothing_is_there_twice() {
    killed_at_every_step(&Archiving::new(|_| Database::postgres(), 30));
}

#[test]
fn what_is_archived_is_shown_verified_and_comes_back() {
    let archiving = Archiving::new(Database::sqlite, 7);
    let before = archiving.exported();
    assert_eq!(archiving.json(&["cleanup", "--dry-run"])["due"], 7);
    let cleaned = archiving.json(&["cleanup"]);
    assert_eq!(json!([cleaned["archived"], cleaned["expired"], cleaned["deleted"]]), json!([7, 0, 0]));
    let archives = archiving.archives();
    assert_eq!(archives.len(), 1);
    assert_eq!(
        json!([archives[0]["state"], archives[0]["conversations"], archives[0]["turns"]]),
        json!(["complete", 7, 14])
    );
    let id = archives[0]["archive_id"].as_str().unwrap();
    let shown = archiving.json(&["archive", "show", id]);
    let entries = shown["manifest"]["conversations"].as_array().unwrap();
    assert_eq!(entries.len(), 7);
    let manifest = shown["manifest"].to_string();
    assert!(
        !manifest.contains("canary") && !manifest.contains(&user(1)),
        "no user, and nothing said: {manifest}"
    );
    let one = entries[0]["conversation_id"].as_str().unwrap();
    let table = text(&archiving.run(&["archive", "show", id]).stdout);
    assert!(table.contains(id) && table.contains(one), "{table}");
    let verified = text(&archiving.run(&["archive", "verify"]).stdout);
    assert_eq!(verified, "1 archive of 7 conversations read, and right.\n");

    // What is archived is refused to an import, and an archive's file is one.
    let data = archiving.files().into_iter().find(|file| file.extension().is_some_and(|end| end == "zst"));
    let data = data.unwrap();
    let refused = archiving.run(&["import", data.to_str().unwrap(), "--json"]);
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((&refused["stored"], &refused["rejected"]), (&json!(0), &json!(7)));
    let elsewhere = format!("sqlite:{}", archiving.home.0.path().join("elsewhere.sqlite").display());
    let taken = archiving.home.json(&["import", data.to_str().unwrap(), "--database-url", &elsewhere]);
    assert_eq!((&taken["stored"], &taken["turns"]), (&json!(7), &json!(14)));

    let restored = archiving.json(&["restore", "--conversation", one]);
    assert_eq!(json!([restored["restored"], restored["turns"]]), json!([1, 2]));
    let again = archiving.run(&["restore", "--conversation", one, "--json"]);
    assert_eq!(again.status.code(), Some(1));
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["refused"][0]["reason"], "it is not archived: it is stored, or never was here");
    let archives = archiving.archives();
    let complete: Vec<&Value> = archives.iter().filter(|archive| archive["state"] == "complete").collect();
    assert_eq!((complete.len(), &complete[0]["conversations"]), (1, &json!(6)), "{archives:?}");
    assert_eq!(archiving.json(&["restore", "--user", &user(2)])["restored"], 2);
    assert_eq!(archiving.json(&["cleanup"])["archived"], 0, "what has come back is left alone");
    let said = text(&archiving.run(&["restore", "--all", "--keep-days", "1"]).stdout);
    assert!(said.starts_with("Restored ") && said.ends_with(" turns.\n"), "{said}");
    assert!(archiving.exported() == before, "all is as it was");
    assert_eq!(archiving.files(), Vec::<PathBuf>::new());
    assert!(text(&archiving.run(&["archive", "list"]).stdout).contains("Nothing is archived."));
    // A restored conversation goes on.
    let list = archiving.json(&["conversations", "list", "--user", &user(0)]);
    let until =
        list["conversations"][0]["expires_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>();
    assert!(until.unwrap() > SystemClock.now(), "{list}");
    let log = archiving.json(&["audit", "list", "--conversation", one, "--limit", "200"]);
    let actions: Vec<&str> =
        log["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["archive", "restore"]);
    for mistake in [
        ["restore"].as_slice(),
        &["restore", "--all", "--user", "a"],
        &["restore", "--all", "--keep-days", "0"],
        &["restore", "--conversation", "abc"],
        &["archive", "show", "abc"],
    ] {
        assert_eq!(archiving.failure(mistake).0, 2, "{mistake:?}");
    }
    let (code, said) = archiving.failure(&["archive", "show", id]);
    assert!(code == 1 && said.contains("there is no archive"), "{said}");
}

/// A damaged file is found, and nothing of it comes back.
#[test]
fn flipped_bits_and_cut_off_files_are_found_and_not_restored() {
    let archiving = Archiving::new(Database::sqlite, 5);
    archiving.json(&["cleanup"]);
    for path in archiving.files() {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for (how, bytes) in [
            ("flipped", Some(flipped)),
            ("cut off", Some(whole[..whole.len() - 3].to_vec())),
            ("emptied", Some(Vec::new())),
            ("gone", None),
        ] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let verified = archiving.run(&["archive", "verify", "--json"]);
            assert_eq!(verified.status.code(), Some(1), "{name} {how}: {}", text(&verified.stderr));
            let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
            assert_eq!(verified["damaged"].as_array().unwrap().len(), 1, "{name} {how}");
            let restored = archiving.run(&["restore", "--all", "--json"]);
            assert_eq!(restored.status.code(), Some(1), "{name} {how}");
            let restored: Value = serde_json::from_slice(&restored.stdout).unwrap();
            assert_eq!(
                (&restored["restored"], restored["damaged"].as_array().unwrap().len()),
                (&json!(0), 1)
            );
            let (stored, archived) = archiving.database.places();
            assert_eq!((stored.len(), archived.len()), (0, 5), "{name} {how}: nothing is changed");
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 5);
}

/// What wakes up or is held between two steps stays in the database, and is in no archive afterwards.
#[test]
fn what_wakes_up_or_is_held_meanwhile_is_kept_and_in_no_archive() {
    let archiving = Archiving::new(Database::sqlite, 9);
    // The states are no echo agents': without them, those can speak.
    archiving.database.run("DELETE FROM agent_states");
    assert!(archiving.killed_behind(Step::Described, &["cleanup"]));
    let conversation = |n: u32| format!("018f0000-0000-7000-8000-{n:08x}0000");
    let (woken, held, deleted) = (conversation(1), conversation(2), conversation(4));
    archiving.json(&["chat", "--once", "hello", "--conversation", &woken, "--user", &user(1)]);
    archiving.json(&["hold", "place", "--conversation", &held, "--reason", "matter 7"]);
    archiving.json(&["conversations", "delete", &deleted, "--user", &user(1)]);
    let cleaned = archiving.json(&["cleanup"]);
    assert_eq!(json!([cleaned["archived"], cleaned["deleted"], cleaned["held"]]), json!([6, 1, 1]));
    let (stored, archived) = archiving.database.places();
    assert_eq!((stored.len(), archived.len()), (2, 6));
    let known = archiving.archives();
    let complete: Vec<&Value> = known.iter().filter(|archive| archive["state"] == "complete").collect();
    assert_eq!((complete.len(), &complete[0]["conversations"]), (1, &json!(6)), "{known:?}");
    let shown = archiving.json(&["archive", "show", complete[0]["archive_id"].as_str().unwrap()]).to_string();
    for gone in [&woken, &held, &deleted] {
        assert!(!shown.contains(gone.as_str()), "{shown}");
    }
    let history = archiving.json(&["conversations", "show", &woken, "--user", &user(1)]);
    assert_eq!(history["turns"].as_array().unwrap().len(), 3, "{history}");
    // P6: what was deleted does not come back, whoever asks.
    let refused = archiving.run(&["restore", "--conversation", &deleted, "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let reason = refused["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("what is deleted stays deleted"), "{reason}");
    archiving.database.run("UPDATE conversation_tombstones SET reason = 'erased' WHERE reason = 'expired'");
    let all = archiving.json(&["restore", "--all"]);
    assert_eq!(all["restored"], 0, "what was erased stays erased: {all}");
}

/// Where the place of the archives cannot be written, nothing is removed, and one sentence says why.
#[test]
fn without_its_place_nothing_is_removed() {
    let home = Home::new();
    let taken = home.0.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    let archiving = Archiving::at(home, &format!("file://{}/archive", taken.display()), Database::sqlite, 4);
    let deleted = "018f0000-0000-7000-8000-000000010000";
    archiving.json(&["conversations", "delete", deleted, "--user", &user(1)]);
    let (code, said) = archiving.failure(&["cleanup"]);
    assert_eq!(code, 1);
    assert!(said.contains("the archives at file://") && said.contains("cannot be opened"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let (stored, archived) = archiving.database.places();
    assert_eq!((stored.len(), archived.len()), (3, 0), "what its user deleted is removed all the same");
    let findings = archiving.run(&["doctor", "--json"]);
    assert_eq!(findings.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&findings.stdout).unwrap();
    let of_archive = |finding: &&Value| finding["check"] == "archive";
    let finding = findings["findings"].as_array().unwrap().iter().find(of_archive).unwrap().clone();
    assert_eq!(finding["severity"], "error", "{finding}");
}

/// Over S3's protocol, with the credentials from the environment.
#[test]
fn an_archive_in_a_bucket_is_written_read_replaced_and_deleted() {
    let runtime = Runtime::new().unwrap();
    let stub = runtime.block_on(ObjectStoreStub::start());
    let archiving = Archiving::at(Home::new(), "s3://bucket/some/prefix", Database::sqlite, 6);
    let before = archiving.exported();
    let run = |arguments: &[&str]| {
        let all = archiving.arguments(arguments);
        let mut command = archiving.home.command(&all.iter().map(String::as_str).collect::<Vec<_>>());
        command
            .env("AWS_ENDPOINT", stub.url())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "a-key")
            .env("AWS_SECRET_ACCESS_KEY", "a-canary-of-a-secret");
        command.output().unwrap()
    };
    let json = |arguments: &[&str]| -> Value {
        let output = run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(json(&["doctor"])["healthy"], true);
    assert_eq!(json(&["cleanup"])["archived"], 6);
    let keys = stub.keys();
    assert!(
        keys.len() == 2 && keys.iter().all(|key| key.starts_with("bucket/some/prefix/archives/")),
        "{keys:?}"
    );
    assert_eq!(json(&["archive", "verify"])["whole"], 1);
    assert_eq!(json(&["restore", "--user", &user(0)])["restored"], 2);
    assert_eq!(stub.keys().len(), 2, "the old archive is replaced");
    assert_ne!(stub.keys(), keys);
    assert_eq!(json(&["restore", "--all"])["restored"], 4);
    assert_eq!(stub.keys(), Vec::<String>::new());
    assert!(archiving.exported() == before, "all is as it was");

    archiving.database.age();
    stub.refuse();
    let refused = run(&["cleanup"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("access is denied") && !said.contains("canary"), "{said}");
    assert_eq!(archiving.database.places().0.len(), 6, "nothing is removed");
}
