//! Archives whose files are lost for good.

use super::*;

impl Archiving {
    /// No journal and no late beginning knows of any erasure, nor does the audit log.
    fn is_not_begun(&self, why: &str) {
        assert_eq!(self.database.ask("SELECT 'x' AS answer FROM erasures"), Vec::<String>::new(), "{why}");
        let log = self.json(&["audit", "list", "--action", "erase", "--after", "0"]);
        assert_eq!(log["events"], json!([]), "{why}");
    }
}

/// An operator says so, and the erasures of those who are in it end. Nobody else waits for it.
fn lost_for_good(database: impl FnOnce(&Home) -> Database) {
    let archiving = Archiving::new(database, 6);
    archiving.json(&["cleanup"]);
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let lost = ["--lost-archive", archive.as_str()];
    let said = archiving.unerased(1, &lost);
    assert!(said.contains(&archive) && said.contains("so it is not lost"), "{said}");
    fs::remove_dir_all(archiving.home.0.path().join("archive/archives").join(&archive)).unwrap();
    let said = archiving.unerased(1, &["--lost-archive", &conversation(9)]);
    assert!(said.contains("holds nothing of it by what the database says"), "{said}");
    archiving.is_not_begun("a slip of the pen begins nothing");
    let [place, aside] = ["archive", "aside"].map(|name| archiving.home.0.path().join(name));
    fs::rename(&place, &aside).unwrap();
    assert!(archiving.unerased(1, &lost).contains("it is not there"));
    assert!(!place.exists(), "a statement makes no folder");
    archiving.is_not_begun("nor does a statement where nobody can look");
    fs::rename(&aside, &place).unwrap();
    assert!(archiving.unerased(1, &[]).contains("right place"), "nobody has said that it is lost");

    let (document, said) = archiving.erased_with(1, "1.json", &lost);
    assert_eq!(said, "", "what is lost is not said to be restored from a copy");
    let archives = document["certificate"]["archives"].as_array().unwrap();
    assert_eq!((archives.len(), &archives[0]["archive_id"]), (1, &json!(archive)), "{document}");
    assert!(archives[0]["lost"]["stated_by"].as_str().unwrap().starts_with("operator:"), "{document}");
    assert!(archives[0]["lost"]["stated_at"].is_string(), "{document}");
    assert_eq!(json!([archives[0]["sha256"], archives[0]["replaced_by"]]), json!([null, null]));
    let log = archiving.json(&["audit", "list", "--action", "erase", "--after", "0"]);
    let is_stated = |event: &&Value| event["detail"]["step"] == "archive_lost";
    let stated: Vec<&Value> = log["events"].as_array().unwrap().iter().filter(is_stated).collect();
    assert_eq!((stated.len(), &stated[0]["detail"]["archive_id"]), (1, &json!(archive)), "{log}");
    assert_eq!(archiving.verified(1).0, Some(0));

    // It is to be written anew for others' sake, and cannot be: whoever is in none is told, and has a certificate.
    archiving.json(&["chat", "--once", "hello", "--user", &user(7)]);
    let (document, said) = archiving.erased_with(7, "7.json", &[]);
    assert_eq!(document["certificate"]["erased"]["conversations"], 1, "{document}");
    assert_eq!(document["certificate"]["archives"], json!([]), "{document}");
    assert_eq!(document["certificate"]["verification"]["unread_archives"], json!([archive]), "{document}");
    assert!(said.contains(&format!("Not written anew: archive {archive}")), "{said}");
    // Who is in it has none before somebody says that it is lost.
    assert!(archiving.unerased(2, &[]).contains("right place"));
    for of in [2, 0] {
        let (document, said) = archiving.erased_with(of, &format!("{of}.json"), &lost);
        let unread = &document["certificate"]["verification"]["unread_archives"];
        assert_eq!((unread, said.as_str()), (&json!([]), ""));
    }
    assert_eq!(archiving.archives(), Vec::<Value>::new(), "nothing is archived in it any more");
    assert_eq!(archiving.json(&["audit", "verify"])["intact"], true);
}

#[test]
fn an_archive_that_is_lost_for_good_keeps_no_erasure_from_ending_on_sqlite() {
    lost_for_good(Database::sqlite);
}

#[test]
fn an_archive_that_is_lost_for_good_keeps_no_erasure_from_ending_on_postgresql() {
    lost_for_good(|_| Database::postgres());
}

/// What comes back before the erasure has ended is there, whatever was stated.
#[test]
fn an_archive_that_is_back_is_not_certified_as_lost() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let (archive, folder, aside) = archiving.only_archive();
    fs::remove_dir_all(&folder).unwrap();
    let lost = ["--lost-archive", archive.as_str()];
    let said = text(&archiving.erasure_killed_at(2, 1, &lost).stderr);
    assert!(said.contains("killed behind the erasure's removed"), "{said}");
    // Its file, and not its manifest.
    copied(&aside, &folder, "manifest");
    let said = archiving.unerased(1, &[]);
    assert!(said.contains(&archive) && said.contains("so it is not lost"), "{said}");
    fs::remove_dir_all(&folder).unwrap();
    let document = archiving.erased(1, "1.json");
    assert!(document["certificate"]["archives"][0]["lost"]["stated_at"].is_string(), "{document}");
}
