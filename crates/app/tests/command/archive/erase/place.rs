//! Erasures where the archives' place is another one, or out of reach.

use super::*;

/// Killed when the archives are left already, and gone on with where their files are not: these are not taken to be
/// deleted.
fn gone_on_with_in_another_place(database: impl FnOnce(&Home) -> Database) {
    let mut archiving = Archiving::new(database, 6);
    archiving.json(&["cleanup"]);
    let old = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    assert!(archiving.erasure_killed_behind(Step::Replaced, 1));
    assert!(archiving.has_anywhere(1), "the old one is there yet");

    let right = archiving.url.clone();
    let [place, other, aside] = ["archive", "other", "aside"].map(|name| archiving.home.0.path().join(name));
    fs::create_dir(&other).unwrap();
    archiving.url = format!("file://{}", other.display());
    archiving.configure("enable_archival: true");
    let other_url = archiving.url.clone();
    for when in ["as it was left", "as a cleanup in the wrong place has left it"] {
        let said = archiving.unerased(1, &[]);
        assert!(said.contains(&old) && said.contains(&right) && said.contains(&other_url), "{when}: {said}");
        archiving.json(&["cleanup"]);
    }
    let known = archiving.archives();
    assert!(known.iter().all(|archive| archive["archive_id"] != old.as_str()), "it is forgotten: {known:?}");
    // The same address, and nothing there: as where a disk is not mounted.
    archiving.url.clone_from(&right);
    archiving.configure("enable_archival: true");
    fs::rename(&place, &aside).unwrap();
    let said = archiving.unerased(1, &[]);
    assert!(said.contains("it is not there") && !place.exists(), "{said}");
    fs::create_dir(&place).unwrap();
    let said = archiving.unerased(1, &[]);
    assert!(said.contains(&old) && said.contains("right place"), "{said}");
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert!(archiving.has_anywhere(1), "it was there all the time");

    let document = archiving.erased(1, "1.json");
    let archives = document["certificate"]["archives"].as_array().unwrap();
    assert_eq!(
        (archives.len(), &archives[0]["archive_id"], &archives[0]["place"]),
        (1, &json!(old), &json!(right)),
        "{document}"
    );
    assert!(!archiving.has_anywhere(1));
    assert_eq!(archiving.verified(1).0, Some(0));
    archiving.json(&["archive", "verify"]);
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 4);
}

#[test]
fn an_erasure_that_is_gone_on_with_in_another_place_gives_no_certificate_on_sqlite() {
    gone_on_with_in_another_place(Database::sqlite);
}

#[test]
fn an_erasure_that_is_gone_on_with_in_another_place_gives_no_certificate_on_postgresql() {
    gone_on_with_in_another_place(|_| Database::postgres());
}

/// Of a place where no archive is left that the database says is complete, it is known which it is all the same.
fn gone_on_with_where_the_last_archive_was(database: impl FnOnce(&Home) -> Database) {
    let archiving = Archiving::new(database, 3);
    archiving.json(&["cleanup"]);
    archiving.erased(0, "0.json");
    archiving.erased(2, "2.json");
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let [place, aside, copy] = ["archive", "aside", "copy"].map(|name| archiving.home.0.path().join(name));
    let folder = place.join("archives").join(&archive);
    copied(&folder, &copy, "none");
    assert!(archiving.erasure_killed_behind(Step::Emptied, 1));
    // As if it had been killed before that.
    copied(&copy, &folder, "none");

    // The same address, and nothing there, or another one's archives.
    fs::rename(&place, &aside).unwrap();
    fs::create_dir(&place).unwrap();
    for when in ["an empty place", "as a cleanup there has left it", "another place"] {
        let said = archiving.unerased(1, &[]);
        assert!(said.contains(&archive) && said.contains("right place"), "{when}: {said}");
        archiving.json(&["cleanup"]);
        let another = r#"{"place_id":"018f0000-0000-7000-8009-000000000001"}"#;
        fs::write(place.join("lcs-archives.json"), another).unwrap();
    }
    assert_eq!(archiving.archives(), Vec::<Value>::new(), "the cleanup took it for deleted");
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert!(archiving.has_anywhere(1), "it was there all the time");
    let document = archiving.erased(1, "1.json");
    let archives = document["certificate"]["archives"].as_array().unwrap();
    assert_eq!((archives.len(), &archives[0]["archive_id"]), (1, &json!(archive)), "{document}");
    assert_eq!(document["certificate"]["verification"]["place_confirmed"], true, "{document}");
    assert!(!archiving.has_anywhere(1));
    assert_eq!(archiving.verified(1).0, Some(0));
}

#[test]
fn an_erasure_that_is_gone_on_with_where_the_last_archive_was_knows_the_place_on_sqlite() {
    gone_on_with_where_the_last_archive_was(Database::sqlite);
}

#[test]
fn an_erasure_that_is_gone_on_with_where_the_last_archive_was_knows_the_place_on_postgresql() {
    gone_on_with_where_the_last_archive_was(|_| Database::postgres());
}

/// A cleanup that runs while the disk is not mounted archives into the empty folder: that is not the place by this.
#[test]
fn what_a_cleanup_archives_in_another_place_does_not_make_it_the_right_one() {
    let archiving = Archiving::new(Database::sqlite, 6);
    archiving.json(&["cleanup"]);
    let old = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let [place, aside] = ["archive", "aside"].map(|name| archiving.home.0.path().join(name));
    assert!(archiving.erasure_killed_behind(Step::Replaced, 1));
    fs::rename(&place, &aside).unwrap();
    fs::create_dir(&place).unwrap();
    archiving.json(&["chat", "--once", "hello", "--user", &user(7)]);
    archiving.database.age();
    assert_eq!(archiving.json(&["cleanup"])["archived"], 1);
    let known = archiving.archives();
    assert!(known.iter().all(|archive| archive["archive_id"] != old.as_str()), "it is forgotten: {known:?}");
    assert!(!archiving.files().is_empty(), "and another one is there, which is complete");
    let said = archiving.unerased(1, &[]);
    assert!(said.contains(&old) && said.contains("right place"), "{said}");

    for archive in fs::read_dir(place.join("archives")).unwrap().map(Result::unwrap) {
        fs::rename(archive.path(), aside.join("archives").join(archive.file_name())).unwrap();
    }
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    let document = archiving.erased(1, "1.json");
    assert_eq!(document["certificate"]["verification"]["place_confirmed"], true, "{document}");
    assert!(!archiving.has_anywhere(1));
    assert_eq!(archiving.verified(1).0, Some(0));
}

/// A place is known by its id at any address.
#[test]
fn a_place_that_is_moved_while_an_erasure_has_not_ended_is_the_same_place() {
    let mut archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    archiving.erased(0, "0.json");
    archiving.erased(2, "2.json");
    let [place, moved] = ["archive", "moved"].map(|name| archiving.home.0.path().join(name));
    assert!(archiving.erasure_killed_behind(Step::Forgotten, 1));
    fs::rename(&place, &moved).unwrap();
    let was = archiving.url.clone();
    archiving.url = format!("file://{}", moved.display());
    archiving.configure("enable_archival: true");
    let mark = moved.join("lcs-archives.json");
    let id = fs::read(&mark).unwrap();
    fs::remove_file(&mark).unwrap();
    let said = archiving.unerased(1, &[]);
    assert!(said.contains(&was), "without its id it is another place: {said}");
    fs::write(&mark, id).unwrap();
    let document = archiving.erased(1, "1.json");
    assert_eq!(document["certificate"]["verification"]["place_confirmed"], true, "{document}");
    assert_eq!(archiving.verified(1).0, Some(0));
}

#[test]
fn a_dry_run_makes_nothing_and_does_without_the_archives_place() {
    let archiving = Archiving::new(Database::sqlite, 6);
    let [place, aside] = ["archive", "aside"].map(|name| archiving.home.0.path().join(name));
    let one_user = user(1);
    let dry_run = ["erase", "--user", &one_user, "--dry-run"];
    let found = archiving.json(&dry_run);
    assert_eq!((&found["archives_unread"], place.exists()), (&Value::Null, false), "{found}");
    archiving.json(&["cleanup"]);
    let found = archiving.json(&dry_run);
    let archives = &found["found"]["archives"];
    assert_eq!(json!([found["archives_unread"], archives[0]["held"]]), json!([null, 2]), "{found}");
    fs::rename(&place, &aside).unwrap();
    let found = archiving.json(&dry_run);
    assert_eq!((&found["found"]["archives"][0]["archived"], place.exists()), (&json!(2), false), "{found}");
    assert!(found["archives_unread"].as_str().unwrap().contains("it is not there"), "{found}");
    let said = text(&archiving.run(&dry_run).stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[1].starts_with("Archives are counted as the database has them: the archives at "),
        "{said}"
    );
    assert!(!place.exists(), "a look makes no folder");
}

/// What was not looked at is not said to hold nothing.
#[test]
fn a_verification_without_the_archives_is_none() {
    let mut archiving = Archiving::new(Database::sqlite, 6);
    let [place, aside] = ["archive", "aside"].map(|name| archiving.home.0.path().join(name));
    assert_eq!(archiving.verified(9).0, Some(0), "there are no archives, and nobody of this name");
    archiving.json(&["cleanup"]);
    let certificate = archiving.home.0.path().join("1.json");
    let one_user = user(1);
    archiving.json(&["erase", "--user", &one_user, "--yes", "--certificate", certificate.to_str().unwrap()]);
    assert_eq!(archiving.verified(1).0, Some(0));
    let verify = ["erase", "--user", &one_user, "--verify"];
    let refused = |archiving: &Archiving, why: &str| {
        let output = archiving.run(&verify);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(why), "{why}: {said}");
    };
    fs::rename(&place, &aside).unwrap();
    refused(&archiving, "it is not there");
    fs::create_dir(&place).unwrap();
    refused(&archiving, "right place");
    let right = archiving.url.clone();
    archiving.url = format!("file://{}", archiving.home.0.path().join("other").display());
    archiving.configure("enable_archival: true");
    refused(&archiving, "it is not there");
    archiving.url = right;
    archiving.configure("enable_archival: true");
    fs::remove_dir(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert_eq!(archiving.verified(1).0, Some(0));
}

/// One manifest that nobody can read keeps none of the others from being read.
#[test]
fn a_verification_names_what_cannot_be_read_and_reads_the_rest() {
    let archiving = Archiving::new(Database::sqlite, 6);
    archiving.json(&["cleanup"]);
    let folder = archiving.home.0.path().join("archive/archives");
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let aside = archiving.home.0.path().join("aside");
    copied(&folder.join(&archive), &aside, "none");
    archiving.erased(1, "1.json");
    assert_eq!(archiving.verified(1).0, Some(0));

    // They come before the one that can be read, and belong to nobody.
    let [damaged, headless] = [1, 2].map(|last| format!("018f0000-0000-7000-8009-00000000000{last}"));
    copied(&aside, &folder.join(&damaged), "manifest");
    fs::write(folder.join(&damaged).join("manifest.json"), "no manifest").unwrap();
    copied(&aside, &folder.join(&headless), "manifest");
    let (code, looked) = archiving.verified(9);
    assert_eq!(
        (code, &looked["erased"]),
        (Some(1), &json!(false)),
        "nobody can tell whose they are: {looked}"
    );
    copied(&aside, &folder.join(&archive), "none");
    let (code, looked) = archiving.verified(1);
    let [found, unread] = ["archives", "unread_archives"].map(|of| looked["found"][of].as_array().unwrap());
    assert_eq!((code, found.len(), &found[0]["archive_id"]), (Some(1), 1, &json!(archive)), "{looked}");
    let ids: Vec<&Value> = unread.iter().map(|unread| &unread["archive_id"]).collect();
    assert_eq!(ids, [&json!(damaged), &json!(headless)], "{looked}");
    assert_eq!(unread[1]["reason"], "its manifest is not there");
    let said = text(&archiving.run(&["erase", "--user", &user(1), "--verify"]).stdout);
    for archive_id in [&damaged, &headless] {
        assert!(said.contains(&format!("archive {archive_id}, which cannot be read and may hold")), "{said}");
    }
    // An erasure is about what the database names, and is stopped by none of them.
    archiving.erased(2, "2.json");
    for there in [&damaged, &headless, &archive] {
        fs::remove_dir_all(folder.join(there)).unwrap();
    }
    assert_eq!(archiving.verified(1).0, Some(0));
}

/// What is being written is no finding: its maker has its file there before its manifest.
#[test]
fn a_verification_beside_an_archive_run_finds_nothing() {
    let archiving = Archiving::new(Database::sqlite, 3);
    assert!(archiving.killed_behind(Step::Written, &["cleanup"]));
    assert_eq!(archiving.verified(9).0, Some(0));
}

/// Who only looks makes no folder, and does not take one that is gone for an empty one.
#[test]
fn a_look_at_the_archives_makes_no_folder() {
    let archiving = Archiving::new(Database::sqlite, 3);
    let [place, aside] = ["archive", "aside"].map(|name| archiving.home.0.path().join(name));
    let verified = archiving.json(&["archive", "verify"]);
    assert_eq!((&verified["whole"], place.exists()), (&json!(0), false), "nothing was ever archived");
    archiving.json(&["cleanup"]);
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    fs::rename(&place, &aside).unwrap();
    for look in
        [["archive", "verify"].as_slice(), &["archive", "verify", &archive], &["archive", "show", &archive]]
    {
        let (code, said) = archiving.failure(look);
        assert!(code == 1 && said.contains("it is not there") && !place.exists(), "{look:?}: {said}");
    }
    fs::rename(&aside, &place).unwrap();
    assert_eq!(archiving.json(&["archive", "verify"])["whole"], 1);
}
