//! A file that is whole or not there: until it is, it has another name beside its own. Nobody but its owner can read it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::unwritten::unwritten;

/// A file that is written, and has its name when it is kept. Its errors name it as it will be called.
pub(crate) struct WholeFile {
    path: PathBuf,
    partial: NamedTempFile,
}

impl WholeFile {
    /// Refuses a name that is that of something else than a file.
    pub(crate) fn may_be(path: &Path) -> io::Result<()> {
        replaceable(path).map_err(|error| unwritten_file(path, &error))
    }

    /// Begins the file that will be `path`, under a name that begins with `prefix`.
    pub(crate) fn begin(path: &Path, prefix: &str) -> io::Result<Self> {
        let begun = replaceable(path).and_then(|()| {
            let folder = folder(path);
            let made = tempfile::Builder::new().prefix(prefix).tempfile_in(folder);
            made.map_err(|error| unmade(folder, &error))
        });
        let partial = begun.map_err(|error| unwritten_file(path, &error))?;
        Ok(Self { path: path.to_owned(), partial })
    }

    /// Gives it its name, when it is on the disk. Another file of that name is replaced only where `replace` says so.
    pub(crate) fn keep(self, replace: bool) -> io::Result<()> {
        let Self { path, partial } = self;
        let kept = partial.as_file().sync_all().and_then(|()| {
            Ok(if replace { partial.persist(&path)? } else { partial.persist_noclobber(&path)? })
        });
        kept.map_err(|error| unwritten_file(&path, &error))?;
        // The name is in the folder: a file system that cannot sync one has nothing to lose.
        if let Ok(folder) = File::open(folder(&path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// The error names no name that the file has until it is whole: nobody has written that.
impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.partial.as_file_mut().write(bytes);
        written.map_err(|error| unwritten_file(&self.path, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unwritten_file(path: &Path, error: &io::Error) -> io::Error {
    unwritten(path.display(), error, "name another file")
}

/// Refuses what is there and no file: a folder, or a device, which a file would take the place of.
fn replaceable(path: &Path) -> io::Result<()> {
    let refused = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    match path.metadata() {
        Ok(there) if there.is_dir() => refused("it is a folder"),
        Ok(there) if !there.is_file() => refused("it is a device or a pipe: - is standard output"),
        _ => Ok(()),
    }
}

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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
