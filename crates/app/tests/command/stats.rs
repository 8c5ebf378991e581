//! `stats` on the command line.

use std::fs;

use crate::Home;

#[test]
fn figures_are_shown_as_tables_and_as_json() {
    let home = Home::new();
    for user in ["ada", "eve"] {
        home.json(&["chat", "--once", "my canary is yellow", "--user", user]);
    }
    let shown = home.answer(&["stats"]);
    for expected in [
        "Conversations   2 active, 0 archived, 0 deleted; 2 begun in the window",
        "Users           2; 2 active in the window",
        "TURNS  TOKENS IN  TOKENS OUT  PROVIDER  MODEL",
        "conversation_turns",
        "the file has ",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("canary") && !shown.contains('\u{1b}'), "{shown}");
    let found = home.json(&["stats", "--since", "7d"]);
    assert_eq!(found["analytics"]["turns"]["in_window"], 2);
    assert_eq!(found["analytics"]["days"].as_array().unwrap().len(), 7);
    assert_eq!(
        (&found["database"]["backend"], &found["cache"]),
        (&"sqlite".into(), &serde_json::Value::Null)
    );
    assert!(found["database"]["tables"].as_array().unwrap().len() >= 5, "{found}");
}

#[test]
fn a_report_is_one_file_that_is_written_whole_or_not_at_all() {
    let home = Home::new();
    home.json(&["chat", "--once", "my canary is yellow"]);
    let folder = home.0.path().join("reports");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("report.html");
    fs::write(&file, "an older one").unwrap();
    let said = home.answer(&["stats", "--report", file.to_str().unwrap()]);
    assert_eq!(said, format!("Written: {}\n", file.display()));
    let page = fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>") && !page.contains("canary"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");

    // Where a script wants it, it is the answer.
    let shown = home.answer(&["stats", "--report", "-"]);
    assert!(shown.starts_with("<!DOCTYPE html>") && shown.trim_end().ends_with("</html>"), "{shown}");
    assert!(!std::path::Path::new("-").exists(), "and no file");

    for bad in [folder.join("nowhere/report.html"), folder.clone(), "/".into()] {
        let (code, said) = home.failure(&["stats", "--report", bad.to_str().unwrap()]);
        assert!(code == 1 && said.lines().count() == 1 && said.contains("name another file"), "{said}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left of what failed");
    assert_eq!(fs::read_to_string(&file).unwrap(), page);
}

#[test]
fn a_fresh_machine_has_no_figures_and_an_old_schema_is_told() {
    let home = Home::new();
    let first = home.0.path().join("lcs-persistence/conversations.sqlite");
    let nothing = format!("nothing is stored yet: the first conversation makes {}\n", first.display());
    assert_eq!(home.answer(&["stats"]), nothing, "a path is copied with what stands behind it");
    assert!(home.json(&["stats"])["analytics"].is_null(), "there are no figures");
    let (code, said) = home.failure(&["stats", "--report", "-"]);
    assert!(code == 1 && said.contains("nothing is stored yet"), "{said}");
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0, "it only looked");
    home.json(&["migrate", "run"]);
    home.json(&["migrate", "revert", "--yes"]);
    let (code, said) = home.failure(&["stats"]);
    assert!(code == 1 && said.contains("run: lcs-persistence migrate run"), "{said}");
}

#[test]
fn a_day_that_cannot_be_looked_back_to_is_refused_in_a_sentence() {
    let home = Home::new();
    for (since, code) in
        [("yesterday", 2), ("90", 2), ("0d", 1), ("1000d", 1), ("2999-01-01", 1), ("2001-01-01", 1)]
    {
        let (found, said) = home.failure(&["stats", "--since", since]);
        assert!(found == code && said.contains("--since"), "{since}: {found} {said}");
    }
}
