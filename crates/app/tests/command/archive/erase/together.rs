//! Erasures that run together, with others who move the same archives.

use std::process::Child;

use super::*;

/// How many users have something in the archives, and how many of them are erased at once.
const USERS: u32 = 6;
const ERASED: u32 = 4;

/// An export of conversations of so many users.
fn shared(conversations: u32) -> String {
    let mut lines = Vec::new();
    for line in file(conversations, 2).lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if value["type"] == "conversation" {
            let number = u32::try_from(value["metadata"]["n"].as_u64().unwrap()).unwrap();
            value["user_id"] = json!(user(number % USERS));
        }
        lines.push(value.to_string() + "\n");
    }
    lines.concat()
}

/// Each has its certificate, whatever the others replace, close and delete meanwhile; nobody takes what another one is at
/// for damage; and those who are not erased lose nothing.
fn erased_together(database: impl FnOnce(&Home) -> Database) {
    let home = Home::new();
    let folder = home.0.path().join("archive");
    let archiving = Archiving::of(home, &format!("file://{}", folder.display()), database, &shared(36));
    let before = archiving.exported();
    archiving.json(&["cleanup"]);
    for again in 0..2 * USERS {
        archiving.json(&["restore", "--conversation", &conversation(again)]);
    }
    archiving.database.age();
    archiving.json(&["cleanup"]);
    for again in 0..USERS {
        archiving.json(&["restore", "--conversation", &conversation(again)]);
    }
    // Two archives, and what a cleanup is to put into a third one.
    archiving.database.age();
    let certificate = |of: u32| archiving.home.0.path().join(format!("{of}.json"));
    let start = |arguments: &[&str]| -> Child {
        let mut command = archiving.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let erasures: Vec<_> = (0..ERASED)
        .map(|of| {
            let (user, file) = (user(of), certificate(of));
            start(&["erase", "--user", &user, "--yes", "--certificate", file.to_str().unwrap()])
        })
        .collect();
    let others = [start(&["restore", "--all", "--json"]), start(&["cleanup", "--json"])];
    for (of, erasure) in erasures.into_iter().enumerate() {
        let output = erasure.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "user {of}: {said}");
    }
    let [restored, cleaned] = others.map(|other| other.wait_with_output().unwrap());
    let said = [&restored, &cleaned].map(|output| text(&output.stderr));
    assert_eq!(said, ["", ""]);
    let restored: Value = serde_json::from_slice(&restored.stdout).unwrap();
    assert_eq!((&restored["damaged"], cleaned.status.code()), (&json!([]), Some(0)), "{restored}");
    for of in 0..ERASED {
        let document = read(&certificate(of));
        let verification = &document["certificate"]["verification"];
        assert_eq!(verification["unread_archives"], json!([]), "user {of}: {document}");
        assert_ne!(verification["place_confirmed"], false, "user {of}: {document}");
        assert!(!archiving.has_anywhere(of), "user {of}");
        assert_eq!(archiving.verified(of).0, Some(0), "user {of}");
    }
    archiving.json(&["cleanup"]);
    let all = archiving.json(&["restore", "--all"]);
    assert_eq!((&all["damaged"], &all["refused"]), (&json!([]), &json!([])), "{all}");
    let after = archiving.exported();
    for of in ERASED..USERS {
        assert_eq!(lines_of(&after, of), lines_of(&before, of), "user {of}");
    }
    assert_eq!(archiving.json(&["audit", "verify"])["intact"], true);
}

#[test]
fn erasures_that_run_together_over_the_same_archives_do_not_fail_each_other_on_sqlite() {
    erased_together(Database::sqlite);
}

#[test]
fn erasures_that_run_together_over_the_same_archives_do_not_fail_each_other_on_postgresql() {
    erased_together(|_| Database::postgres());
}
