//! The slots of a journal's folder: `journal-0.sqlite3`, `journal-1.sqlite3` and so on, each with a lock file.
//!
//! A process holds the lock of its slot for as long as it lives; the kernel lets go of it however the process
//! ends. So several processes of one machine share a folder, and one that was killed finds its entries again.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcs_domain::RepositoryError;
use lcs_domain::journal::JournalStatus;

use super::super::connection::{self, LastError, Manager};
use super::super::file;
use super::tally;

/// Slots in a folder at most.
const SLOTS: u32 = 64;

/// How long a look at a lock may hold it, so that who wants the slot asks again.
const GLANCE: Duration = Duration::from_millis(50);

/// A slot that is this process's alone, until this is dropped.
pub(super) struct Claim {
    file: PathBuf,
    /// Locked.
    _lock: File,
}

impl Claim {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Takes the first free slot with entries, else the first free one. The others with entries are told.
    pub(super) fn take(folder: &Path) -> Result<Self, RepositoryError> {
        let mut first_free = None;
        let mut left_behind = Vec::new();
        for number in 0..SLOTS {
            let file = path(folder, number);
            let made = file.exists();
            if first_free.is_some() && !made {
                continue;
            }
            let Some(claim) = Self::of(file)? else {
                continue;
            };
            if made && entries(&claim.file) > 0 {
                left_behind.push(claim);
            } else {
                first_free.get_or_insert(claim);
            }
        }
        let mut left_behind = left_behind.into_iter();
        let claim = left_behind.next().or(first_free).ok_or_else(|| RepositoryError::Overloaded {
            reason: format!(
                "each of the {SLOTS} journals in {} is another process's: name another folder",
                folder.display()
            ),
        })?;
        for Self { file, .. } in left_behind {
            tracing::warn!(
                file = %file.display(),
                "a journal holds entries of a process that has ended: they are taken over when the database is there"
            );
        }
        Ok(claim)
    }

    /// The slots beside `own` that hold entries and that no process has, for as long as these are kept.
    pub(super) fn left_behind(own: &Path) -> Result<Vec<Self>, RepositoryError> {
        let folder = own.parent().unwrap_or(Path::new("."));
        let files = (0..SLOTS).map(|number| path(folder, number)).filter(|file| file != own && file.exists());
        let mut left_behind = Vec::new();
        for file in files {
            if let Some(claim) = Self::of_within(file, 1)?
                && entries(&claim.file) > 0
            {
                left_behind.push(claim);
            }
        }
        Ok(left_behind)
    }

    /// `None`: another process has it.
    fn of(file: PathBuf) -> Result<Option<Self>, RepositoryError> {
        Self::of_within(file, 5)
    }

    fn of_within(file: PathBuf, attempts: u32) -> Result<Option<Self>, RepositoryError> {
        let lock = file::open_lock(&lock_path(&file))?;
        for attempt in 1..=attempts {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(Self { file, _lock: lock })),
                Err(TryLockError::WouldBlock) if attempt == attempts => {}
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(GLANCE / 5),
                Err(TryLockError::Error(error)) => return Err(cannot_lock(&file, &error)),
            }
        }
        Ok(None)
    }
}

/// The slots of `folder` that have a file: their numbers, and whether a process has them.
pub(super) fn all(folder: &Path) -> Result<Vec<(u32, PathBuf, bool)>, RepositoryError> {
    let mut slots = Vec::new();
    for number in 0..SLOTS {
        let file = path(folder, number);
        if !file.exists() {
            continue;
        }
        // Not made where it is missing: a look changes nothing.
        let running = match File::open(lock_path(&file)) {
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return Err(cannot_lock(&file, &error)),
            },
            Err(_) => false,
        };
        slots.push((number, file, running));
    }
    Ok(slots)
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("journal-{number}.sqlite3"))
}

fn lock_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn cannot_lock(file: &Path, error: &std::io::Error) -> RepositoryError {
    RepositoryError::unavailable(format!(
        "{} cannot be locked: {error}; put the journal's folder on a local disk",
        file.display()
    ))
}

/// How many entries a slot holds that no process has; 0 where it cannot be read: who opens it is told why.
fn entries(file: &Path) -> u64 {
    let manager = Manager {
        uri: file::uri(file).into(),
        file: file.display().to_string().into(),
        settings: connection::settings(Duration::from_secs(1), false),
        last_error: LastError::default(),
    };
    let status = manager.open().ok().and_then(|mut connection| tally::count(&mut connection).ok());
    status.map_or(0, |JournalStatus { entries, .. }| entries)
}
