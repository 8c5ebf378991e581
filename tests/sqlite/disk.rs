//! Disks that are full or may not be written, and files that are no database.

use std::path::Path;
use std::process::Command;

use lcs_domain::*;
use lcs_storage::journal::JournalLimits;
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig, SqliteJournal};

use crate::journal::appending;
use crate::process::worker;
use crate::support::*;

/// Set to 1 where no small disk can be mounted: the tests that need one then pass without a look.
const WITHOUT_MOUNT: &str = "LCS_TESTS_WITHOUT_MOUNT";
/// Set in a test that runs where it may mount.
const IN_NAMESPACE: &str = "LCS_TESTS_IN_NAMESPACE";

/// A small disk of its own, gone with this value.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Only root may mount one. For others `test` is run again by itself, where they are root of a
    /// namespace of their own: `None`, and it passed there.
    fn mount(folder: &'a Path, size: &str, test: &str) -> Option<Self> {
        if mount(&["-t", "tmpfs", "-o", size, "tmpfs"], folder) {
            return Some(Self(folder));
        }
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount"]);
            command
        };
        let may = std::env::var_os(IN_NAMESPACE).is_none()
            && unshare().arg("true").output().is_ok_and(|output| output.status.success());
        if !may {
            let without = std::env::var(WITHOUT_MOUNT).is_ok_and(|without| without == "1");
            assert!(without, "no small disk can be mounted here: run as root, or set {WITHOUT_MOUNT}=1");
            eprintln!("{WITHOUT_MOUNT} is set: not tested");
            return None;
        }
        let name = format!("disk::{test}");
        let output = unshare()
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &name])
            .env(IN_NAMESPACE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        None
    }

    fn remount(&self, options: &str) {
        // With its source named, so that `mount` does not pass on the old options: an owner that a
        // namespace does not know is refused.
        let options = format!("remount,{options}");
        assert!(mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], self.0), "{options}");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: a pool may still be making a connection.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(folder).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_refuses_whole_loses_nothing_and_takes_turns_again_when_there_is_room() {
    let place = Place::new();
    let test = "a_full_disk_refuses_whole_loses_nothing_and_takes_turns_again_when_there_is_room";
    let Some(disk) = Disk::mount(place.folder(), "size=1m", test) else {
        return;
    };
    let store = place.store().await;
    let conversation = begin(&store).await;
    let mut acknowledged = Vec::new();
    let refused = loop {
        let append = append(&conversation, turn(&"x".repeat(5_000)));
        match store.append(user(), append.clone()).await {
            Ok(_) => acknowledged.push(append.turn.turn_id()),
            Err(error) => {
                assert!(matches!(error, RepositoryError::StorageFull { .. }), "{error}");
                break append;
            }
        }
    };
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let stored = page(&store, conversation.conversation_id).await;
    assert_eq!(stored.turns.iter().map(|turn| turn.turn_id).collect::<Vec<_>>(), acknowledged);

    // Another process finds the same: what it read it keeps, what it would write is refused.
    drop(store);
    std::fs::write(place.folder().join("rest"), vec![0; 1 << 20]).unwrap_err();
    let opened = Sqlite::open(place.config(), clock()).await;
    let error = match opened {
        Ok(store) => store.append(user(), refused.clone()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, RepositoryError::StorageFull { .. }), "{error}");

    disk.remount("size=8m");
    let store = open(place.config()).await;
    let appended = store.append(user(), refused).await.unwrap();
    assert_eq!(appended.turn_number.map(|number| number as usize), Some(acknowledged.len() + 1));
    assert_eq!(ask(&mut place.raw(), "SELECT integrity_check AS answer FROM pragma_integrity_check"), "ok");
    drop(store);
}

#[tokio::test]
async fn a_full_disk_on_which_nothing_can_be_opened_is_called_full() {
    let place = Place::new();
    let test = "a_full_disk_on_which_nothing_can_be_opened_is_called_full";
    let Some(disk) = Disk::mount(place.folder(), "size=1m", test) else {
        return;
    };
    let conversation = begin(&place.store().await).await;
    std::fs::write(place.folder().join("rest"), vec![0; 1 << 20]).unwrap_err();
    // SQLite calls it an I/O error: there is no room for the index of its log.
    let error = Sqlite::open(place.config(), clock()).await.unwrap_err();
    let full = format!("no room for {}: free some space on its disk", place.file().display());
    assert!(matches!(&error, RepositoryError::StorageFull { reason } if *reason == full), "{error}");
    let mut names: Vec<_> =
        std::fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = ["conversations.db", "conversations.db-shm", "conversations.db-wal", "rest"];
    assert_eq!(names, expected, "the look for room leaves nothing");

    disk.remount("size=8m");
    assert_eq!(page(&open(place.config()).await, conversation.conversation_id).await.turn_count, 0);
}

#[tokio::test]
async fn a_disk_that_may_only_be_read_refuses_writes_and_loses_nothing() {
    let place = Place::new();
    let test = "a_disk_that_may_only_be_read_refuses_writes_and_loses_nothing";
    let Some(disk) = Disk::mount(place.folder(), "size=4m", test) else {
        return;
    };
    let store = place.store().await;
    let conversation = begin(&store).await;
    store.append(user(), append(&conversation, turn("one"))).await.unwrap();
    drop(store);
    disk.remount("ro");
    let opened = Sqlite::open(place.config(), clock()).await;
    let error = match opened {
        Ok(store) => store.append(user(), append(&conversation, turn("two"))).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error}");
    let missing = SqliteConfig::file(place.folder().join("new.db"));
    let error = Sqlite::open(missing, clock()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error}");

    disk.remount("rw");
    let store = open(place.config()).await;
    assert_eq!(page(&store, conversation.conversation_id).await.turns.len(), 1);
    store.append(user(), append(&conversation, turn("two"))).await.unwrap();
}

#[tokio::test]
async fn a_journal_on_a_full_disk_refuses_and_loses_nothing() {
    let place = Place::new();
    let test = "a_journal_on_a_full_disk_refuses_and_loses_nothing";
    let Some(disk) = Disk::mount(place.folder(), "size=1m", test) else {
        return;
    };
    let open = async || SqliteJournal::open(place.folder(), JournalLimits::default(), clock()).await;
    let journal = open().await.unwrap();
    let mut taken = Vec::new();
    let error = loop {
        match journal.record(user(), appending()).await {
            Ok(entry) => taken.push(entry.sequence),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RepositoryError::StorageFull { .. }), "{error}");
    assert!(taken.len() > 20, "{}", taken.len());
    let status = journal.status().await.unwrap();
    assert_eq!(status.entries, taken.len() as u64);
    drop(journal);
    // Whoever starts on a full disk is told so before any outage. A connection that is closed late gives
    // back the room of its log: then the disk is filled again.
    let mut error = None;
    for rest in 0..10 {
        std::fs::write(place.folder().join(format!("rest-{rest}")), vec![0; 1 << 20]).unwrap_err();
        error = error.or(open().await.err());
    }
    let error = error.unwrap();
    assert!(matches!(error, RepositoryError::StorageFull { .. }), "{error}");

    disk.remount("size=8m");
    let journal = open().await.unwrap();
    assert_eq!(journal.status().await.unwrap().entries, taken.len() as u64);
    journal.record(user(), appending()).await.unwrap();

    drop(journal);
    disk.remount("ro");
    let error = open().await.unwrap_err();
    assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{error}");
    drop(disk);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept_as_it_is() {
    let place = Place::new();
    let content = "not a database at all\n".repeat(200);
    std::fs::write(place.file(), &content).unwrap();
    let error = Sqlite::open(place.config(), clock()).await.unwrap_err();
    assert!(error.to_string().ends_with("is not a SQLite database: restore it from a backup"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(std::fs::read_to_string(place.file()).unwrap(), content);
}

#[tokio::test]
async fn a_damaged_file_says_so_and_never_panics() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    for n in 0..50 {
        store.append(user(), append(&conversation, turn(&n.to_string().repeat(1_000)))).await.unwrap();
    }
    drop(store);
    // Closing moved the log into the file; now everything but the schema rots.
    let mut bytes = std::fs::read(place.file()).unwrap();
    assert!(bytes.len() > 100_000, "{}", bytes.len());
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    std::fs::write(place.file(), bytes).unwrap();

    let store = open(place.config()).await;
    let error = store
        .page(user(), conversation.conversation_id, TurnRange::Newest, PageLimit::MAX)
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("is damaged: restore it from a backup"), "{error}");
    let findings = store.diagnose().await.unwrap();
    let integrity = findings.iter().find(|finding| finding.check == "integrity").unwrap();
    assert_eq!(integrity.severity, diagnostic::Severity::Error, "{findings:?}");
}

/// What a user who is not above the modes of files hears from `sqlite-worker migrate`.
#[cfg(unix)]
fn refusal_of(file: &Path, privileged: bool) -> String {
    let arguments = ["migrate", file.to_str().unwrap()];
    let mut command = worker(&arguments);
    if privileged {
        // Root is above them by a capability, which it can lay down.
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-all", env!("CARGO_BIN_EXE_sqlite-worker")]).args(arguments);
    }
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_not_be_read_or_not_be_made_is_told_from_one_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let place = Place::new();
    drop(place.store().await);
    mode(&place.file(), 0o000);
    let privileged = std::fs::File::open(place.file()).is_ok();
    let said = refusal_of(&place.file(), privileged);
    assert!(said.contains("may not be read by this user: check its owner and mode"), "{said}");

    mode(&place.file(), 0o400);
    mode(place.folder(), 0o500);
    let said = refusal_of(&place.file(), privileged);
    assert!(said.contains("may not be written: check its owner, its mode and its disk"), "{said}");
    let said = refusal_of(&place.folder().join("new.db"), privileged);
    assert!(said.contains("new.db is missing and may not be made: check who may write"), "{said}");
    mode(place.folder(), 0o700);
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_named() {
    let place = Place::new();
    std::fs::write(place.file(), "").unwrap();
    let below = "cannot be made: a part of its path is a file, where a folder should be";
    for (path, reason) in [
        (place.folder().to_owned(), "is a folder: write the path of a file"),
        (place.file().join("file.db"), below),
        (place.file().join("folder").join("file.db"), below),
    ] {
        let error = Sqlite::open(SqliteConfig::file(&path), clock()).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error}");
        let reason = format!("the database is unavailable: {} {reason}", path.display());
        assert_eq!(error.to_string(), reason);
    }
    // An empty file is a database without tables.
    open(place.config()).await.run_pending().await.unwrap();
}
