//! Archive and restore, as an operator works with them: a process each, killed at every step.

#![expect(clippy::indexing_slicing, reason = "a test that looks for what is not there fails")]

mod bucket;
mod damage;
mod erase;
mod kill;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use lcs_app::archive::Step;
use lcs_domain::{Clock as _, SystemClock};
use lcs_storage::testing::TestPostgres;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::transfer::{file, interrupt};
use crate::{Home, text};

/// A home with a database, archival on, and ways behind the program.
struct Archiving {
    home: Home,
    database: Database,
    config: String,
    url: String,
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

    /// This id as it stands in SQL.
    fn literal(&self, id: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", id.replace('-', "")),
            Self::Postgres(_) => format!("'{id}'"),
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
        Self::of(home, url, database, &file(conversations, 2))
    }

    /// With what is in this export.
    fn of(home: Home, url: &str, database: impl FnOnce(&Home) -> Database, export: &str) -> Self {
        let config = home.0.path().join("stack.yaml");
        let (database, config) = (database(&home), config.to_str().unwrap().to_owned());
        let archiving = Self { home, database, config, url: url.to_owned() };
        archiving.configure("enable_archival: true");
        let input = archiving.home.0.path().join("in.jsonl");
        fs::write(&input, export).unwrap();
        archiving.json(&["import", input.to_str().unwrap()]);
        archiving.database.age();
        archiving
    }

    fn configure(&self, line: &str) {
        fs::write(&self.config, format!("persistence:\n  {line}\n  archive_url: {}\n", self.url)).unwrap();
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

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it answers, with its exit code.
    fn coded(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stderr));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }

    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let all = self.arguments(arguments);
        self.home.failure(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let all = self.arguments(arguments);
        self.home.command(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs it until it has done this step; whether it came to that.
    fn killed_behind(&self, step: Step, arguments: &[&str]) -> bool {
        let output = self.command(arguments).env("LCS_TEST_KILL_BEHIND", step.as_str()).output().unwrap();
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

    /// Whatever was begun was begun so long ago that nobody can be at it any more.
    fn forget_the_time(&self) {
        let long_ago = match self.database {
            Database::Sqlite(_) => "0",
            Database::Postgres(_) => "now() - interval '1 day'",
        };
        self.database.run(&format!("UPDATE archives SET begun_at = {long_ago}"));
    }

    /// Everything comes back as it was, and nothing is left of any archive.
    fn assert_all_comes_back(&self, before: &[String]) {
        self.forget_the_time();
        self.json(&["restore", "--all"]);
        self.json(&["cleanup", "--per-second", "0"]);
        self.json(&["restore", "--all"]);
        self.forget_the_time();
        self.json(&["cleanup", "--per-second", "0"]);
        assert_eq!((self.archives(), self.files()), (vec![], vec![]), "no file is left of any of it");
        assert!(self.exported() == before, "all is as it was");
        assert_eq!(self.json(&["audit", "verify"])["intact"], true);
        assert_eq!(self.json(&["doctor"])["healthy"], true);
    }

    fn states(&self) -> BTreeSet<String> {
        let archives = self.archives();
        archives.iter().map(|archive| archive["state"].as_str().unwrap().to_owned()).collect()
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

fn conversation(n: u32) -> String {
    format!("018f0000-0000-7000-8000-{n:08x}0000")
}

/// A conversation whose archive is more than is sent at once: nothing in it can be compressed to less than half.
fn large() -> String {
    let (mut export, mut state) = (file(1, 12), 1_u64);
    for turn in 1..=12 {
        let mut noise = String::new();
        while noise.len() < 1_600_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend([format!("{state:016x}")]);
        }
        export = export.replace(&format!("\"canary 0 {turn}\""), &format!("\"{noise}\""));
    }
    export
}

fn user(n: u32) -> String {
    format!("018f0000-0000-7000-8001-{n:08x}0000")
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
    // Done again, it is the same; what never was archived is told from that.
    let (code, again) = archiving.coded(&["restore", "--conversation", one]);
    assert_eq!((code, &again["present"], &again["refused"]), (Some(0), &json!(1), &json!([])));
    let said = text(&archiving.run(&["restore", "--conversation", one]).stdout);
    assert_eq!(said, "Nothing to restore: 1 conversation came back before.\n");
    let new = archiving.json(&["chat", "--once", "hello", "--user", &user(0)]);
    for never in [new["conversation_id"].as_str().unwrap(), &conversation(77)] {
        let (code, never) = archiving.coded(&["restore", "--conversation", never]);
        assert_eq!((code, &never["present"]), (Some(1), &json!(0)));
        assert_eq!(never["refused"][0]["reason"], "it is not archived: it is stored, or never was here");
    }
    let (new, certificate) =
        (new["conversation_id"].as_str().unwrap(), archiving.home.0.path().join("new.json"));
    let erased = ["erase", "--conversation", new, "--yes", "--certificate", certificate.to_str().unwrap()];
    archiving.json(&erased);
    let archives = archiving.archives();
    let complete: Vec<&Value> = archives.iter().filter(|archive| archive["state"] == "complete").collect();
    assert_eq!((complete.len(), &complete[0]["conversations"]), (1, &json!(6)), "{archives:?}");
    assert_eq!(archiving.json(&["restore", "--user", &user(2)])["restored"], 2);
    assert_eq!(archiving.json(&["cleanup"])["archived"], 0, "what has come back is left alone");
    let said = text(&archiving.run(&["restore", "--all", "--keep-days", "1"]).stdout);
    assert!(said.starts_with("Restored ") && said.ends_with(" turns.\n"), "{said}");
    for again in
        [["restore", "--all"].as_slice(), &["restore", "--user", &user(2)], &["restore", "--user", "nobody"]]
    {
        let output = archiving.run(again);
        assert_eq!(output.status.code(), Some(0), "{again:?}: nothing is left to be done");
        assert_eq!(text(&output.stdout), "Nothing to restore: nothing of that is archived.\n");
    }
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

/// What wakes up or is held between two steps stays in the database, and is in no archive afterwards.
#[test]
fn what_wakes_up_or_is_held_meanwhile_is_kept_and_in_no_archive() {
    let archiving = Archiving::new(Database::sqlite, 9);
    // The states are no echo agents': without them, those can speak.
    archiving.database.run("DELETE FROM agent_states");
    assert!(archiving.killed_behind(Step::Described, &["cleanup"]));
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

/// What is archived is not unknown: it is said what keeps it.
#[test]
fn a_hold_on_what_is_archived_is_refused_with_what_to_do() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let archive_id = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let id = conversation(1);
    let place = ["hold", "place", "--conversation", &id, "--reason", "matter 7"];
    let (code, said) = archiving.failure(&place);
    assert!(code == 1 && said.contains(&format!("conversation {id} is in archive {archive_id}")), "{said}");
    assert!(said.contains(&format!("`restore --conversation {id}`")), "{said}");
    archiving.json(&["restore", "--conversation", &id]);
    assert_eq!(archiving.json(&place)["conversation_id"], id.as_str());
}

/// Ctrl-C between two batches: it is said, the exit code is 1, and the next run goes on. Nobody waits for the archive that it
/// was at.
#[cfg(unix)]
#[test]
fn a_cleanup_that_is_asked_to_end_says_so_and_the_next_one_goes_on() {
    for (archival, removed) in [("enable_archival: false", "expired"), ("enable_archival: true", "archived")]
    {
        let archiving = Archiving::new(Database::sqlite, 30);
        archiving.configure(archival);
        let (all, _) = archiving.database.places();
        let mut cleanup = archiving.command(&["cleanup", "--per-second", "1"]);
        let mut cleanup = cleanup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while archiving.database.places().0.len() == all.len() {
            assert!(cleanup.try_wait().unwrap().is_none(), "it ended before it removed anything");
            std::thread::yield_now();
        }
        interrupt(cleanup.id());
        let output = cleanup.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said, "error: stopped: what is removed stays removed; run it again to go on\n");
        let (left, _) = archiving.database.places();
        assert!(!left.is_empty() && left.len() < all.len(), "{}", left.len());
        assert!(!archiving.states().contains("begun"), "{:?}", archiving.states());
        let again = archiving.json(&["cleanup", "--per-second", "0"]);
        assert_eq!((&again[removed], &again["busy"]), (&json!(left.len()), &json!(false)), "{again}");
        if removed == "archived" {
            archiving.assert_in_one_place(&all, "asked to end");
            assert_eq!(archiving.states(), BTreeSet::from(["complete".to_owned()]));
        }
    }
}

/// Who may enter the place does not enter what is archived in it.
#[cfg(unix)]
#[test]
fn archives_are_their_owners_alone_and_the_place_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    let place = home.0.path().join("shared");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let archiving = Archiving::at(home, &format!("file://{}", place.display()), Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("archives"))), (0o755, 0o700));
    assert_eq!(archiving.json(&["archive", "verify"])["whole"], 1);
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
