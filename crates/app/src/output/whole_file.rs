//! A file that is whole or not there: until it is, it has another name beside its own. Nobody but its owner can read it.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Begins the file that will be `path`, under a name that begins with `prefix`.
pub(crate) fn begin(path: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let folder = folder(path);
    tempfile::Builder::new().prefix(prefix).tempfile_in(folder).map_err(|error| unmade(folder, &error))
}

/// The error without the name that the file has until it is whole: nobody has written that.
fn unmade(folder: &Path, error: &io::Error) -> io::Error {
    let shown = folder.display();
    let reason = if error.kind() == io::ErrorKind::NotFound && !folder.is_dir() {
        format!("there is no folder {shown}")
    } else {
        let said = error.to_string();
        let cause = said.split_once(" at path ").map_or(said.as_str(), |(cause, _)| cause);
        format!("nothing can be made in the folder {shown}: {cause}")
    };
    io::Error::new(error.kind(), reason)
}

/// Gives it its name, when it is on the disk. Another file of that name is replaced only where `replace` says so.
pub(crate) fn keep(file: NamedTempFile, path: &Path, replace: bool) -> io::Result<()> {
    file.as_file().sync_all()?;
    if replace {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    // The name is in the folder: a file system that cannot sync one has nothing to lose.
    if let Ok(folder) = File::open(folder(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
