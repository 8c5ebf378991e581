//! Erasures that share something with one that has not ended.

use super::*;

impl Archiving {
    /// Tries to erase a conversation: why there is no certificate, or the certificate.
    fn conversation_erased(&self, of: u32, name: &str) -> Result<Value, String> {
        let file = self.home.0.path().join(name);
        let (id, path) = (conversation(of), file.to_str().unwrap());
        let output = self.run(&["erase", "--conversation", &id, "--yes", "--certificate", path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.success(), file.exists(), "{said}");
        if output.status.success() { Ok(read(&file)["certificate"].clone()) } else { Err(said) }
    }
}

/// An archive that cannot be written anew keeps the certificates of all who are in it: also where only the note of
/// another erasure says so, of the conversation's or of its user's.
fn noted_by_another(database: impl FnOnce(&Home) -> Database) {
    let archiving = Archiving::new(database, 3);
    archiving.json(&["cleanup"]);
    let (archive, folder, aside) = archiving.only_archive();
    let manifest = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let manifest = manifest.into_iter().find(|file| file.ends_with("manifest.json")).unwrap();
    fs::write(&manifest, "no manifest").unwrap();

    // The conversation first, and then its user; and the other way round.
    assert!(archiving.conversation_erased(1, "none.json").unwrap_err().contains(&archive));
    assert!(archiving.unerased(1, &[]).contains(&archive), "it is in it still");
    assert!(archiving.unerased(2, &[]).contains(&archive));
    assert!(
        archiving.conversation_erased(2, "none.json").unwrap_err().contains(&archive),
        "and so is this one"
    );
    let named = "SELECT 'x' AS answer FROM conversation_tombstones WHERE archive_id IS NOT NULL";
    assert_eq!(archiving.database.ask(named).len(), 1, "no tombstone of theirs names it any more");
    // A stranger is not kept.
    let (document, _) = archiving.erased_with(7, "7.json", &[]);
    let verification = &document["certificate"]["verification"];
    assert_eq!(
        (&verification["unread_archives"], &verification["place_confirmed"]),
        (&json!([archive]), &Value::Null)
    );
    let lost = ["--lost-archive", archive.as_str()];
    assert!(archiving.unerased(1, &lost).contains("so it is not lost"));

    copied(&aside, &folder, "none");
    // The conversation of the first had come to the archive before its user; the second one's user did that alone.
    for (of, named) in [(1, 1), (2, 0)] {
        let document = archiving.erased(of, &format!("{of}.json"));
        let archives = document["certificate"]["archives"].as_array().unwrap();
        assert_eq!((archives.len(), &archives[0]["archive_id"]), (1, &json!(archive)), "{document}");
        assert!(!archiving.has_anywhere(of));
        let certificate = archiving.conversation_erased(of, &format!("{of}-conversation.json")).unwrap();
        let archives = certificate["archives"].as_array().unwrap();
        assert_eq!(archives.len(), named, "{certificate}");
        assert!(archives.iter().all(|found| found["archive_id"] == archive.as_str()), "{certificate}");
        assert_eq!(archiving.verified(of).0, Some(0));
    }
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 1, "the third one is there");
}

#[test]
fn an_archive_that_another_erasure_has_noted_keeps_the_certificate_on_sqlite() {
    noted_by_another(Database::sqlite);
}

#[test]
fn an_archive_that_another_erasure_has_noted_keeps_the_certificate_on_postgresql() {
    noted_by_another(|_| Database::postgres());
}

/// What only another erasure knows to be in an archive may be stated lost with it.
#[test]
fn an_archive_that_another_erasure_has_noted_can_be_stated_lost() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let archive = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let folder = archiving.home.0.path().join("archive/archives").join(&archive);
    let manifest = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let manifest = manifest.into_iter().find(|file| file.ends_with("manifest.json")).unwrap();
    fs::write(&manifest, "no manifest").unwrap();
    assert!(archiving.conversation_erased(1, "none.json").unwrap_err().contains(&archive));
    fs::remove_dir_all(&folder).unwrap();
    assert!(archiving.unerased(1, &[]).contains(&archive), "nobody has said that it is lost");
    let (document, _) = archiving.erased_with(1, "1.json", &["--lost-archive", &archive]);
    let archives = document["certificate"]["archives"].as_array().unwrap();
    assert_eq!((archives.len(), &archives[0]["archive_id"]), (1, &json!(archive)), "{document}");
    assert!(archives[0]["lost"]["stated_at"].is_string(), "{document}");
    assert!(archiving.conversation_erased(1, "none.json").is_err(), "it was stated for the user's alone");
}

/// What one erasure has stated lost and is back, nobody certifies who shares it.
#[test]
fn an_archive_that_is_back_keeps_the_certificates_of_all_who_share_it() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let (archive, folder, aside) = archiving.only_archive();
    fs::remove_dir_all(&folder).unwrap();
    let lost = ["--lost-archive", archive.as_str()];
    let is_left = (2..20).any(|step| {
        let output = archiving.erasure_killed_at(step, 1, &lost);
        text(&output.stderr).contains("killed behind the erasure's rewritten")
    });
    assert!(is_left, "no tombstone names it any more");
    // Its file, and not its manifest.
    copied(&aside, &folder, "manifest");
    let said = archiving.conversation_erased(1, "none.json").unwrap_err();
    assert!(said.contains(&archive), "{said}");
    assert!(archiving.unerased(1, &[]).contains("so it is not lost"));
    fs::remove_dir_all(&folder).unwrap();
    let document = archiving.erased(1, "1.json");
    assert!(document["certificate"]["archives"][0]["lost"]["stated_at"].is_string(), "{document}");
}
