//! Killed at every step: with archival on, switched off behind it, with two at work, and in the middle of a file.

use std::collections::BTreeSet;
use std::process::Stdio;

use lcs_app::archive::Step;
use serde_json::json;

use super::{Archiving, Database, large, user};
use crate::{Home, text};

/// How fast so few conversations go that they are removed in two batches.
const SLOWLY: &[&str] = &["cleanup", "--per-second", "25"];

/// All kill points, in the archiving of everything, in the restoring of one user's, which replaces an archive, and in
/// the restoring of the rest, which empties it.
fn killed_at_every_step(archiving: &Archiving) {
    let before = archiving.exported();
    let (all, _) = archiving.database.places();
    let one_user = user(1);
    let commands: [&[&str]; 3] = [SLOWLY, &["restore", "--user", &one_user], &["restore", "--all"]];
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
    archiving.assert_all_comes_back(&before);
}

#[test]
fn killed_at_every_step_on_sqlite_nothing_is_lost_and_nothing_is_there_twice() {
    killed_at_every_step(&Archiving::new(Database::sqlite, 30));
}

#[test]
fn killed_at_every_step_on_postgresql_nothing_is_lost_and_nothing_is_there_twice() {
    killed_at_every_step(&Archiving::new(|_| Database::postgres(), 30));
}

/// What was begun is finished also where nothing is archived any more, and where nothing may expire any more.
fn finished_with_archival_off(archiving: &Archiving) {
    let before = archiving.exported();
    let (all, _) = archiving.database.places();
    let steps = [
        Step::Begun,
        Step::Sending,
        Step::Written,
        Step::Checked,
        Step::Described,
        Step::Removed,
        Step::Closed,
    ];
    for step in steps {
        archiving.configure("enable_archival: true");
        assert!(archiving.killed_behind(step, SLOWLY), "{step}");
        let (_, archived) = archiving.database.places();
        archiving.configure("conversation_retention_days: 36500");
        archiving.json(SLOWLY);
        archiving.assert_in_one_place(&all, &format!("killed behind {step}, and finished with archival off"));
        assert_eq!(archiving.database.places().1, archived, "{step}: nothing more is archived");
        archiving.forget_the_time();
        archiving.json(SLOWLY);
        archiving.json(SLOWLY);
        archiving.assert_in_one_place(&all, &format!("killed behind {step}, and long ago"));
        let complete = usize::from(!archived.is_empty());
        assert_eq!(archiving.archives().len(), complete, "{step}: {:?}", archiving.archives());
        assert!(archiving.states().iter().all(|state| state == "complete"), "{step}");
        assert_eq!(archiving.files().len(), 2 * complete, "{step}: what was begun is finished or gone");
        assert_eq!(archiving.json(&["restore", "--all"])["restored"], archived.len());
        assert!(archiving.exported() == before, "{step}: all is as it was");
        archiving.database.age();
    }
}

#[test]
fn what_was_begun_is_finished_with_archival_off_on_sqlite() {
    finished_with_archival_off(&Archiving::new(Database::sqlite, 30));
}

#[test]
fn what_was_begun_is_finished_with_archival_off_on_postgresql() {
    finished_with_archival_off(&Archiving::new(|_| Database::postgres(), 30));
}

/// Two archive at once, and one of them is killed at each step.
fn one_of_two_is_killed(archiving: &Archiving) {
    let before = archiving.exported();
    let (all, _) = archiving.database.places();
    for step in Step::ALL {
        let start = |kill: &str| {
            let mut command = archiving.command(&["cleanup", "--per-second", "0"]);
            command.env("LCS_TEST_KILL_BEHIND", kill).stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let (one, other) = (start(step.as_str()), start("nothing"));
        let (one, other) = (one.wait_with_output().unwrap(), other.wait_with_output().unwrap());
        let was_killed = one.status.code().is_none();
        assert!(was_killed || one.status.success(), "{step}: {}", text(&one.stderr));
        assert!(other.status.success(), "beside one killed behind {step}: {}", text(&other.stderr));
        archiving.assert_in_one_place(&all, &format!("one of two killed behind {step}"));
        archiving.json(&["cleanup", "--per-second", "0"]);
        archiving.assert_in_one_place(&all, &format!("one of two killed behind {step}, and run again"));
        let (stored, archived) = archiving.database.places();
        assert_eq!((stored.len(), &archived), (0, &all), "{step}");
        archiving.json(&["restore", "--all"]);
        assert!(archiving.exported() == before, "one of two killed behind {step}: all is as it was");
        archiving.database.age();
    }
    archiving.assert_all_comes_back(&before);
}

#[test]
fn of_two_that_archive_at_once_one_is_killed_on_sqlite() {
    one_of_two_is_killed(&Archiving::new(Database::sqlite, 30));
}

#[test]
fn of_two_that_archive_at_once_one_is_killed_on_postgresql() {
    one_of_two_is_killed(&Archiving::new(|_| Database::postgres(), 30));
}

/// In a folder, what was being written stands beside the file that it was to be.
#[test]
fn killed_in_the_middle_of_a_file_nothing_is_lost_and_the_piece_does_not_stay() {
    let home = Home::new();
    let url = format!("file://{}", home.0.path().join("archive").display());
    let archiving = Archiving::of(home, &url, Database::sqlite, &large());
    let before = archiving.exported();
    let (all, _) = archiving.database.places();
    assert!(archiving.killed_behind(Step::Sending, &["cleanup"]));
    let files = archiving.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "conversations.jsonl.zst#1");
    archiving.assert_in_one_place(&all, "killed in the middle of a file");
    assert_eq!(archiving.database.places().0, all, "nothing is removed before the file is whole");
    let archive_id = archiving.archives()[0]["archive_id"].clone();
    let left = json!([{"archive_id": archive_id, "file": name}]);
    let verified = archiving.json(&["archive", "verify"]);
    assert_eq!((&verified["leftovers"], &verified["unfinished"]), (&left, &json!(1)));
    assert_eq!(archiving.json(&["archive", "verify", archive_id.as_str().unwrap()])["leftovers"], left);
    let said = text(&archiving.run(&["archive", "verify"]).stdout);
    assert!(said.contains("Left over: archive ") && said.contains(name), "{said}");
    // Whoever was killed may be at work yet, for all that others know: it is not waited for.
    assert_eq!(archiving.json(&["cleanup"])["archived"], 1);
    assert_eq!(archiving.files().len(), 3);
    archiving.forget_the_time();
    archiving.json(&["cleanup"]);
    assert_eq!(archiving.files().len(), 2, "the piece is gone with its archive");
    assert_eq!(archiving.json(&["archive", "verify"])["leftovers"], json!([]));
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 1);
    archiving.assert_all_comes_back(&before);
}

/// What stands beside a file that was never whole holds what was said all the same: an erasure does not leave it for later.
#[test]
fn an_erasure_deletes_the_piece_of_a_file_in_whose_middle_somebody_was_killed() {
    let home = Home::new();
    let url = format!("file://{}", home.0.path().join("archive").display());
    let archiving = Archiving::of(home, &url, Database::sqlite, &large());
    assert!(archiving.killed_behind(Step::Sending, &["cleanup"]));
    assert_eq!(archiving.files().len(), 1);
    let certificate = archiving.home.0.path().join("certificate.json");
    let certificate = certificate.to_str().unwrap();
    archiving.json(&["erase", "--user", &user(0), "--yes", "--certificate", certificate]);
    assert_eq!(archiving.files(), Vec::<std::path::PathBuf>::new());
    let (stored, archived) = archiving.database.places();
    assert_eq!((stored.len(), archived.len()), (0, 0));
    assert_eq!(archiving.json(&["archive", "verify"])["leftovers"], json!([]));
}
