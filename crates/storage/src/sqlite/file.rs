//! The file itself: made with its rights, or refused with the reason; and whether its disk has room.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use lcs_domain::RepositoryError;

use super::error;

/// What SQLite makes beside the file when it opens it: the index of the log is 32 KiB.
static ROOM: [u8; 64 * 1024] = [0; 64 * 1024];

/// The URI by which SQLite opens `path`, whatever characters stand in it.
pub(super) fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// Makes the file and the folders above it where they are missing: for their owner alone, because
/// conversations are nobody else's. What is there keeps its mode. `false`: it may only be read.
pub(super) fn prepare(path: &Path) -> Result<bool, RepositoryError> {
    if path.is_dir() {
        return Err(refusal(path, &ErrorKind::IsADirectory.into()));
    }
    match create(path) {
        Ok(()) => Ok(true),
        Err(error) if is_read_only(&error) => match File::open(path) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(RepositoryError::ReadOnly {
                reason: format!(
                    "{} is missing and may not be made: check who may write in its folder, and its disk",
                    path.display()
                ),
            }),
            Err(error) => Err(refusal(path, &error)),
        },
        Err(error) => Err(refusal(path, &error)),
    }
}

fn refusal(path: &Path, error: &io::Error) -> RepositoryError {
    if is_full(error) {
        return error::storage_full(&path.display().to_string());
    }
    let file = path.display();
    RepositoryError::unavailable(match error.kind() {
        ErrorKind::IsADirectory => format!("{file} is a folder: write the path of a file"),
        // What stands there already is taken as it is; so it is what should be a folder that is none.
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            format!("{file} cannot be made: a part of its path is a file, where a folder should be")
        }
        ErrorKind::PermissionDenied => {
            format!("{file} may not be read by this user: check its owner and mode, and its folder's")
        }
        _ => format!("{file} cannot be opened: {error}"),
    })
}

/// Whether the disk under `file` has no room for what SQLite makes beside it, which SQLite calls an I/O
/// error. It is tried out: what is free says nothing of quotas and of what is reserved for others.
pub(super) fn lacks_room(file: &str) -> bool {
    let path = Path::new(file);
    let try_out = || -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!("-room-{}", std::process::id()));
        let probe = path.with_file_name(name);
        let mut opened = private(OpenOptions::new().write(true).create_new(true)).open(&probe)?;
        // First, so that it is gone whatever becomes of this process.
        std::fs::remove_file(&probe)?;
        opened.write_all(&ROOM)
    };
    path.is_file() && try_out().is_err_and(|error| is_full(&error))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Opens `path`, which holds nothing and is only locked; it is made where it is missing, as [`prepare`] does.
pub(super) fn open_lock(path: &Path) -> Result<File, RepositoryError> {
    let open = || {
        make_folder(path)?;
        private(OpenOptions::new().write(true).create(true).truncate(false)).open(path)
    };
    open().map_err(|error| {
        if is_read_only(&error) {
            error::read_only(&path.display().to_string())
        } else {
            refusal(path, &error)
        }
    })
}

/// Makes the folder of `path` and those above it where they are missing, and gives its name where it has one.
fn make_folder(path: &Path) -> io::Result<Option<&Path>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        private(DirBuilder::new().recursive(true)).create(folder)?;
    }
    Ok(folder)
}

fn create(path: &Path) -> io::Result<()> {
    let folder = make_folder(path)?;
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(file) => {
            // The name of a new file is the folder's content: it is synced like what is committed later.
            file.sync_all()?;
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Something that is made with a mode.
trait Mode {
    fn owner_only(&mut self);
}

#[cfg(unix)]
impl Mode for DirBuilder {
    fn owner_only(&mut self) {
        std::os::unix::fs::DirBuilderExt::mode(self, 0o700);
    }
}

#[cfg(unix)]
impl Mode for OpenOptions {
    fn owner_only(&mut self) {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600);
    }
}

#[cfg(not(unix))]
impl<T> Mode for T {
    fn owner_only(&mut self) {}
}

fn private<T: Mode>(builder: &mut T) -> &mut T {
    builder.owner_only();
    builder
}
