//! The commands of `docs/BACKUP.md`, as they stand there: on a cluster that is destroyed, and recovered to a moment.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lcs_storage::testing::{PrivateCluster, PrivateOptions, Shutdown};
use serde_json::Value;

/// The folder that the document keeps its copies in. The test's is a temporary one.
const FOLDER: &str = "/var/backups/lcs";

/// The blocks of the document that are in this language, in the section with this heading.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/BACKUP.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// An account of its own runs the server: it and this test share the folder that all lies in.
struct Site {
    cluster: PrivateCluster,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let conf = blocks("Set up", "conf").concat().replace(FOLDER, &copies(&folder));
        let mut settings: Vec<&str> = conf.lines().collect();
        settings.push("max_wal_senders = 4");
        let cluster =
            PrivateCluster::start_with(PrivateOptions { settings: &settings, ..PrivateOptions::default() });
        Self { cluster, folder }
    }

    /// Runs a block as the server's account: what it prints.
    fn run(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let mut shell = self.cluster.shell(&script.replace(FOLDER, &copies(&self.folder)));
        shell.env("DATABASE_URL", self.cluster.url()).envs(variables.iter().copied());
        said(script, &shell.output().unwrap())
    }

    /// Runs a block of our own commands.
    fn run_ours(&self, script: &str) -> String {
        let mut shell = Command::new("bash");
        let program = Path::new(env!("CARGO_BIN_EXE_lcs-persistence")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder).stdin(Stdio::null());
        shell.env("PATH", path).env("HOME", self.folder.path()).env("DATABASE_URL", self.cluster.url());
        for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG"] {
            shell.env_remove(variable);
        }
        said(script, &shell.output().unwrap())
    }

    /// Says something in a new conversation: its id.
    fn say(&self, text: &str) -> String {
        let script = format!(
            "lcs-persistence chat --once '{text}' --user carol --json --database-url \"$DATABASE_URL\""
        );
        let answer: Value = serde_json::from_str(&self.run_ours(&script)).unwrap();
        answer["conversation_id"].as_str().unwrap().to_owned()
    }

    /// How many turns this database has.
    fn turns(&self, database: &str) -> String {
        let count = "SELECT count(*) FROM conversation_turns";
        self.run(&format!("psql --dbname={database} --no-align --tuples-only --command='{count}'"), &[])
    }

    /// Waits until this piece of the log is archived.
    fn until_archived(&self, piece: &str) {
        let ask = format!("SELECT last_archived_wal >= '{piece}' FROM pg_stat_archiver");
        let ask = format!("psql --dbname=postgres --no-align --tuples-only --command=\"{ask}\"");
        self.run(&format!("until [ \"$({ask})\" = t ]; do sleep 0.05; done"), &[]);
    }

    /// Removes all that the server has.
    fn destroy(&self) {
        self.cluster.stop(Shutdown::Immediate);
        for entry in fs::read_dir(self.cluster.data()).unwrap() {
            let path = entry.unwrap().path();
            let is_folder = fs::symlink_metadata(&path).unwrap().is_dir();
            if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
    }
}

fn copies(folder: &tempfile::TempDir) -> String {
    folder.path().join("copies").display().to_string()
}

fn said(script: &str, output: &Output) -> String {
    let (answer, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {}: {answer} {errors}", output.status);
    answer.trim().to_owned()
}

#[test]
fn a_destroyed_cluster_is_recovered_to_a_moment_with_the_manuals_commands() {
    let site = Site::new();
    let [folders] = &blocks("Set up", "bash")[..] else { unreachable!("another number of blocks") };
    let [backup, clean_up, note] = &blocks("Base backup", "bash")[..] else {
        unreachable!("another number of blocks")
    };
    let [recover, wait] = &blocks("Recover to a moment", "bash")[..] else {
        unreachable!("another number of blocks")
    };
    site.run(folders, &[]);
    site.run_ours("lcs-persistence migrate run --database-url \"$DATABASE_URL\"");
    let before_backup = site.say("before the backup");
    site.run(backup, &[]);
    site.run(clean_up, &[]);
    let before_moment = site.say("between the backup and the moment");
    let noted = site.run(note, &[]);
    let (moment, piece) = noted.split_once('\n').unwrap();
    let after_moment = site.say("after the moment");
    assert_eq!(site.turns("postgres"), "3");
    site.until_archived(piece);
    let switched = site.run(note, &[]);
    site.until_archived(switched.split_once('\n').unwrap().1);

    site.destroy();

    let base = site.run(&format!("ls -d {FOLDER}/base-*Z"), &[]);
    let lost = site.folder.path().join("copies/lost").display().to_string();
    for block in [recover, wait] {
        site.run(block, &[("RECOVER_TO", moment), ("BACKUP", &base), ("LOST", &lost)]);
    }
    assert_eq!(site.turns("postgres"), "2", "the moment was {moment}");
    site.run_ours(&blocks("Look at what came back", "bash").concat());
    for (conversation, is_there) in [(&before_backup, true), (&before_moment, true), (&after_moment, false)] {
        let show = format!(
            "lcs-persistence conversations show {conversation} --user carol --database-url \"$DATABASE_URL\" \
             >show 2>&1 && echo there || grep -o 'not found' show"
        );
        assert_eq!(site.run_ours(&show), if is_there { "there" } else { "not found" });
    }
    // It is a database like any other.
    site.say("after the recovery");
    assert_eq!(site.turns("postgres"), "3");

    // A copy beside it goes back once more, and leaves no trace in the archive.
    let [beside] = &blocks("Beside the running cluster", "bash")[..] else {
        unreachable!("another number of blocks")
    };
    let archived = site.run(&format!("ls {FOLDER}/wal"), &[]);
    let copy = site.folder.path().join("copies/copy").display().to_string();
    let port = (site.cluster.port() + 1).to_string();
    site.run(beside, &[("RECOVER_TO", moment), ("BACKUP", &base), ("COPY", &copy), ("COPY_PORT", &port)]);
    let asked = "until psql --port=$COPY_PORT --dbname=postgres --no-align --tuples-only \
                 --command='SELECT NOT pg_is_in_recovery()' | grep -q t; do sleep 0.05; done; \
                 psql --port=$COPY_PORT --dbname=postgres --no-align --tuples-only \
                 --command='SELECT count(*) FROM conversation_turns'; \
                 pg_ctl stop --pgdata=\"$COPY\" --silent --mode=fast";
    assert_eq!(site.run(asked, &[("COPY", &copy), ("COPY_PORT", &port)]), "2");
    assert_eq!(site.run(&format!("ls {FOLDER}/wal"), &[]), archived);

    // A server that died before it had noted that a file is archived asks for it again.
    site.cluster.stop(Shutdown::Fast);
    site.run(
        "cd \"$PGDATA/pg_wal/archive_status\" && for f in *.done; do mv \"$f\" \"${f%.done}.ready\"; done",
        &[],
    );
    site.cluster.restart();
    site.run(
        "until ! ls \"$PGDATA\"/pg_wal/archive_status/*.ready 2>/dev/null | grep -q .; do sleep 0.05; done",
        &[],
    );

    // A copy of it by pg_dump has the same turns, and the same chain of the audit log.
    for block in blocks("Logical copies", "bash") {
        site.run(&block, &[]);
    }
    assert_eq!(site.turns("lcs_copy"), "3");
    let verify = |database: &str| {
        let url = site.cluster.url().replace("/postgres", database);
        site.run_ours(&format!("lcs-persistence audit verify --json --database-url '{url}'"))
    };
    assert_eq!(verify("/postgres"), verify("/lcs_copy"));
}
