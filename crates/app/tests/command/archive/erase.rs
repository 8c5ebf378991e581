//! Erasing users whose conversations are archived, wholly or in part, in files that hold others' too.

mod beside;
mod doctor;
mod lost;
mod place;
mod together;

use std::path::Path;

use lcs_domain::UserId;
use lcs_domain::erasure::user_hash;

use super::*;

/// The export's lines of this user's conversations.
pub(super) fn lines_of(export: &[String], of: u32) -> Vec<String> {
    let (mut is_theirs, mut lines) = (false, Vec::new());
    for line in export {
        let value: Value = serde_json::from_str(line).unwrap();
        if value["type"] == "conversation" {
            is_theirs = value["user_id"] == user(of).as_str();
        }
        if is_theirs && value["type"] != "trailer" {
            lines.push(line.clone());
        }
    }
    lines
}

impl Archiving {
    /// Erases all of a user, and gives the document with the certificate.
    fn erased(&self, of: u32, name: &str) -> Value {
        self.erased_with(of, name, &[]).0
    }

    /// The same with more arguments, and with what it notes.
    fn erased_with(&self, of: u32, name: &str, more: &[&str]) -> (Value, String) {
        let file = self.home.0.path().join(name);
        let (user, path) = (user(of), file.to_str().unwrap());
        let output = self.run(&[&["erase", "--user", &user, "--yes", "--certificate", path], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (read(&file), text(&output.stderr))
    }

    /// Tries the same, and gives why there is no certificate: it may be logged of archives what is wrong with them first.
    fn unerased(&self, of: u32, more: &[&str]) -> String {
        let file = self.home.0.path().join("none.json");
        let (user, path) = (user(of), file.to_str().unwrap());
        let output = self.run(&[&["erase", "--user", &user, "--yes", "--certificate", path], more].concat());
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), file.exists()), (Some(1), false), "{said}");
        assert!(said.lines().last().unwrap().starts_with("error: ") && !said.contains("panicked"), "{said}");
        said
    }

    /// Erases all of a user, and is killed behind this step of the archives: whether it came to it.
    fn erasure_killed_behind(&self, step: Step, of: u32) -> bool {
        let (user, file) = (user(of), self.home.0.path().join("killed.json"));
        self.killed_behind(
            step,
            &["erase", "--user", &user, "--yes", "--certificate", file.to_str().unwrap()],
        )
    }

    /// The same behind the so-manieth step of archives and erasures: what it said.
    fn erasure_killed_at(&self, step: u32, of: u32, more: &[&str]) -> Output {
        let (user, file) = (user(of), self.home.0.path().join("killed.json"));
        let all = ["erase", "--user", &user, "--yes", "--certificate", file.to_str().unwrap()];
        self.command(&[&all[..], more].concat()).env("LCS_TEST_KILL_AT", step.to_string()).output().unwrap()
    }

    /// The only archive, its folder, and a copy of that elsewhere.
    fn only_archive(&self) -> (String, PathBuf, PathBuf) {
        let archive = self.archives()[0]["archive_id"].as_str().unwrap().to_owned();
        let folder = self.home.0.path().join("archive/archives").join(&archive);
        let aside = self.home.0.path().join("aside");
        copied(&folder, &aside, "none");
        (archive, folder, aside)
    }

    fn verified(&self, of: u32) -> (Option<i32>, Value) {
        let output = self.run(&["erase", "--user", &user(of), "--verify", "--json"]);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }

    fn manifest(&self, archive: &str) -> Value {
        self.json(&["archive", "show", archive])["manifest"].clone()
    }

    /// Whether any archive has anything of this user: by its manifest, and by what is in it when it is read elsewhere.
    pub(super) fn has_anywhere(&self, of: u32) -> bool {
        let user_id: UserId = UserId::from_text(&user(of));
        let mut found = false;
        for file in self.files() {
            if file.extension().is_some_and(|end| end == "zst") {
                let elsewhere = self.home.0.path().join("elsewhere.sqlite");
                let url = format!("sqlite:{}", elsewhere.display());
                self.home.json(&["import", file.to_str().unwrap(), "--database-url", &url]);
                let export = self.home.answer(&["export", "-", "--database-url", &url]);
                found |= export.contains(&user(of));
                for end in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{end}", elsewhere.display()));
                }
            } else {
                found |= fs::read_to_string(file).unwrap().contains(&user_hash(user_id).to_string());
            }
        }
        found
    }
}

pub(super) fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Of twelve conversations of three users: user 1 has two in an archive with others', one in another with another's, and
/// one that is stored; user 2 has all four in the first archive; user 0 shares both.
fn staged(database: impl FnOnce(&Home) -> Database) -> (Archiving, Vec<String>) {
    let archiving = Archiving::new(database, 12);
    let before = archiving.exported();
    archiving.json(&["cleanup"]);
    for again in [conversation(0), conversation(1)] {
        archiving.json(&["restore", "--conversation", &again]);
    }
    archiving.database.age();
    archiving.json(&["cleanup"]);
    archiving.json(&["restore", "--conversation", &conversation(4)]);
    assert_eq!(archiving.database.places().0.len(), 1);
    assert_eq!(archiving.archives().len(), 2);
    (archiving, before)
}

fn erased_from_shared_archives(database: impl FnOnce(&Home) -> Database) {
    let (archiving, before) = staged(database);
    for (of, stored, in_archives) in [(1, 1, vec![2, 1]), (2, 0, vec![4])] {
        let (code, looked) = archiving.verified(of);
        assert_eq!((code, &looked["erased"]), (Some(1), &json!(false)));
        let mut found: Vec<_> = looked["found"]["archives"].as_array().unwrap().clone();
        found.sort_by_key(|archive| std::cmp::Reverse(archive["archived"].as_u64()));
        let counts: Vec<_> = found.iter().map(|archive| archive["archived"].as_u64().unwrap()).collect();
        assert_eq!(counts, in_archives, "{looked}");
        assert!(archiving.has_anywhere(of));

        let document = archiving.erased(of, &format!("{of}.json"));
        let certificate = &document["certificate"];
        assert_eq!(certificate["erased"]["conversations"], stored, "{certificate}");
        let archived: u64 = in_archives.iter().sum();
        assert_eq!(
            json!([certificate["erased"]["tombstones"], certificate["archived_conversations"]]),
            json!([archived, archived])
        );
        assert_eq!(certificate["verification"]["archives"], json!([]));
        assert_eq!(certificate["verification"]["place_confirmed"], true);
        let rewritten = certificate["archives"].as_array().unwrap();
        assert_eq!(rewritten.len(), found.len());
        for before in &found {
            let after = rewritten.iter().find(|after| after["archive_id"] == before["archive_id"]).unwrap();
            assert_eq!((&after["sha256"], &after["held"]), (&before["sha256"], &before["held"]));
            assert_eq!(after["sha256"].as_str().unwrap().len(), 64);
            let new = &after["replaced_by"];
            let manifest = archiving.manifest(new["archive_id"].as_str().unwrap());
            assert_eq!((&manifest["sha256"], &manifest["replaces"]), (&new["sha256"], &before["archive_id"]));
            let (code, _) = archiving.failure(&["archive", "show", before["archive_id"].as_str().unwrap()]);
            assert_eq!(code, 1, "the old one is gone");
        }
        let written = certificate.to_string();
        assert!(!written.contains(&user(of)) && !written.contains("canary"), "{written}");
        assert!(!written.contains(&conversation(of)), "no conversation is named: {written}");
        assert!(!archiving.has_anywhere(of));
        let (code, looked) = archiving.verified(of);
        assert_eq!((code, &looked["found"]["archives"]), (Some(0), &json!([])), "{looked}");
    }
    // What others have comes back to the byte, and nothing of the erased.
    let all = archiving.json(&["restore", "--all"]);
    assert_eq!((&all["restored"], &all["refused"]), (&json!(4), &json!([])), "{all}");
    let after = archiving.exported();
    assert_eq!(lines_of(&after, 0), lines_of(&before, 0));
    assert_eq!(lines_of(&after, 1).len() + lines_of(&after, 2).len(), 0);
    assert_eq!(archiving.files(), Vec::<PathBuf>::new());
    // An archive that holds nothing else is deleted, and replaced by none.
    archiving.database.age();
    archiving.json(&["cleanup"]);
    let document = archiving.erased(0, "0.json");
    let archives = document["certificate"]["archives"].as_array().unwrap().clone();
    assert_eq!((archives.len(), &archives[0]["archived"]), (1, &json!(4)), "{archives:?}");
    assert_eq!(archives[0]["replaced_by"], Value::Null);
    assert_eq!(
        document["certificate"]["verification"]["place_confirmed"], true,
        "by its id: no archive is left"
    );
    assert_eq!(archiving.files(), Vec::<PathBuf>::new());
    assert_eq!(archiving.json(&["audit", "verify"])["intact"], true);
}

#[test]
fn archived_conversations_are_erased_from_files_that_hold_others_too_on_sqlite() {
    erased_from_shared_archives(Database::sqlite);
}

#[test]
fn archived_conversations_are_erased_from_files_that_hold_others_too_on_postgresql() {
    erased_from_shared_archives(|_| Database::postgres());
}

#[test]
fn what_an_archive_has_that_the_database_does_not_know_is_found_by_a_look() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    // As a copy of an archive that was put back.
    let folder = archiving.home.0.path().join("archive/archives");
    let kept = archiving.home.0.path().join("kept");
    let old = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::create_dir(&kept).unwrap();
    for file in fs::read_dir(&old).unwrap().map(|file| file.unwrap().path()) {
        fs::copy(&file, kept.join(file.file_name().unwrap())).unwrap();
    }
    archiving.erased(1, "1.json");
    assert_eq!(archiving.verified(1).0, Some(0));
    fs::rename(&kept, &old).unwrap();
    let (code, looked) = archiving.verified(1);
    let found = looked["found"]["archives"].as_array().unwrap();
    assert_eq!((code, found.len(), &found[0]["held"]), (Some(1), 1, &json!(1)), "{looked}");
}

/// Killed behind each of its steps, those of archives too, and run again: one certificate, which is true.
fn killed_at_every_step(database: impl Fn(&Home) -> Database) {
    let mut reached = BTreeSet::new();
    for step in 1.. {
        let archiving = Archiving::new(&database, 6);
        let before = archiving.exported();
        archiving.json(&["cleanup"]);
        archiving.json(&["restore", "--conversation", &conversation(4)]);
        let file = archiving.manifest(archiving.archives()[0]["archive_id"].as_str().unwrap());
        let killed = archiving.home.0.path().join("killed.json");
        let output = archiving.erasure_killed_at(step, 1, &[]);
        let was_killed = output.status.code().is_none();
        let said = text(&output.stderr);
        assert!(was_killed || output.status.success(), "step {step}: {said}");
        assert_eq!(killed.exists(), !was_killed, "step {step}: a certificate is there when all is done");
        if let Some(name) = said.lines().find_map(|line| line.strip_prefix("killed behind ")) {
            reached.insert(name.to_owned());
        }
        let when = format!("step {step}: {said}");
        let again = archiving.erased(1, "again.json");
        let handed_out = [&again].into_iter().chain(again["earlier"].as_array().into_iter().flatten());
        let true_ones: Vec<_> =
            handed_out.filter(|document| document["certificate"]["erased"]["conversations"] != 0).collect();
        assert_eq!(true_ones.len(), 1, "{when}: {true_ones:?}");
        let certificate = &true_ones[0]["certificate"];
        let counts =
            ["conversations", "turns", "agent_states", "tombstones"].map(|of| &certificate["erased"][of]);
        assert_eq!(json!(counts), json!([1, 2, 1, 1]), "{when}");
        let archives = certificate["archives"].as_array().unwrap();
        assert_eq!((archives.len(), &certificate["archived_conversations"]), (1, &json!(1)), "{when}");
        assert_eq!(archives[0]["sha256"], file["sha256"], "{when}");
        let now = archiving.archives();
        let complete: Vec<&Value> = now.iter().filter(|archive| archive["state"] == "complete").collect();
        assert_eq!(complete.len(), 1, "{when}: {now:?}");
        let complete = complete[0];
        let manifest = archiving.manifest(complete["archive_id"].as_str().unwrap());
        assert_eq!(
            json!([archives[0]["replaced_by"]["archive_id"], archives[0]["replaced_by"]["sha256"]]),
            json!([complete["archive_id"], manifest["sha256"]]),
            "{when}"
        );
        assert!(!archiving.has_anywhere(1), "{when}");
        assert_eq!(archiving.verified(1).0, Some(0), "{when}");
        assert_eq!(archiving.json(&["restore", "--all"])["restored"], 4, "{when}");
        let after = archiving.exported();
        for other in [0, 2] {
            assert_eq!(lines_of(&after, other), lines_of(&before, other), "{when}");
        }
        assert_eq!(archiving.json(&["audit", "verify"])["intact"], true, "{when}");
        if !was_killed {
            break;
        }
    }
    let expected = [
        "the archive's begun",
        "the archive's checked",
        "the archive's deleted",
        "the archive's described",
        "the archive's emptied",
        "the archive's forgotten",
        "the archive's replaced",
        "the archive's sending",
        "the archive's written",
        "the erasure's begun",
        "the erasure's certified",
        "the erasure's forgotten",
        "the erasure's looked",
        "the erasure's noted",
        "the erasure's removed",
        "the erasure's rewritten",
    ];
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn an_erasure_with_archives_that_is_killed_at_any_step_ends_with_one_true_certificate_on_sqlite() {
    killed_at_every_step(Database::sqlite);
}

#[test]
fn an_erasure_with_archives_that_is_killed_at_any_step_ends_with_one_true_certificate_on_postgresql() {
    killed_at_every_step(|_| Database::postgres());
}

/// An archive that the database names and whose files are elsewhere: what they hold is not erased, and nobody says so.
fn erased_where_archives_are_elsewhere(database: impl FnOnce(&Home) -> Database) {
    let archiving = Archiving::new(database, 6);
    archiving.json(&["cleanup"]);
    archiving.json(&["restore", "--conversation", &conversation(4)]);
    let (place, aside) = ["archive", "aside"].map(|name| archiving.home.0.path().join(name)).into();
    let certificate = archiving.home.0.path().join("none.json");
    let (one_user, path) = (user(1), certificate.to_str().unwrap());
    let all = ["erase", "--user", &one_user, "--yes", "--certificate", path];
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let named = archiving.database.places().1;
    fs::rename(&place, &aside).unwrap();

    // Nothing is asked of the place before it is needed.
    let (code, _) = archiving.failure(&["erase", "--user", &one_user]);
    assert_eq!((code, place.exists()), (1, false), "a look makes no folder");
    fs::write(&place, "no folder").unwrap();
    let (code, said) = archiving.failure(&all);
    assert_eq!((code, certificate.exists()), (1, false), "{said}");
    assert!(said.contains("the archives at") && said.contains("run the erasure again"), "{said}");
    assert_eq!(archiving.database.places().0.len(), 0, "the row is gone all the same: {said}");
    fs::remove_file(&place).unwrap();

    for lost in ["conversations", "manifest", ""] {
        // The whole folder, and each of the two files by itself.
        if lost.is_empty() {
            // As where a disk is not mounted.
            fs::remove_dir_all(&place).unwrap();
            fs::create_dir(&place).unwrap();
        } else {
            copied(&aside.join("archives").join(&archive), &place.join("archives").join(&archive), lost);
        }
        let (code, said) = archiving.failure(&all);
        assert_eq!((code, certificate.exists()), (1, false), "without {lost}: {said}");
        assert!(said.contains(&archive) && said.contains("right place"), "without {lost}: {said}");
        let named_still = archiving
            .database
            .ask("SELECT 'x' AS answer FROM conversation_tombstones WHERE archive_id IS NOT NULL");
        assert_eq!(named_still.len(), named.len(), "without {lost}: nothing is forgotten");
    }
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    let document = archiving.erased(1, "1.json");
    let archives = document["certificate"]["archives"].as_array().unwrap();
    assert_eq!((archives.len(), archives[0]["sha256"].as_str().unwrap().len()), (1, 64), "{document}");
    assert_eq!(document["certificate"]["erased"]["conversations"], 1, "{document}");
    assert!(!archiving.has_anywhere(1));
    assert_eq!(archiving.verified(1).0, Some(0));
}

/// The files of an archive, but for that whose name begins so.
fn copied(from: &Path, to: &Path, without: &str) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.starts_with(without) {
            fs::copy(&file, to.join(name)).unwrap();
        }
    }
}

#[test]
fn an_erasure_whose_archives_are_elsewhere_gives_no_certificate_before_they_are_back_on_sqlite() {
    erased_where_archives_are_elsewhere(Database::sqlite);
}

#[test]
fn an_erasure_whose_archives_are_elsewhere_gives_no_certificate_before_they_are_back_on_postgresql() {
    erased_where_archives_are_elsewhere(|_| Database::postgres());
}
