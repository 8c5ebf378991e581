//! Locks on files, which the kernel lets go of however their holder ends.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Result;

fn open(path: &Path) -> Result<File> {
    Ok(File::options().create(true).truncate(false).write(true).read(true).open(path)?)
}

/// Waits for the exclusive lock on `folder`/`name`, creating both where they are absent.
///
/// Whoever held it may have removed the folder: then the lock is one on a file without a name, and worth nothing.
pub(super) fn exclusive(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    for _ in 0..100 {
        fs::create_dir_all(folder)?;
        let Ok(file) = open(&path) else { continue };
        file.lock()?;
        if fs::metadata(&path).is_ok_and(|named| file.metadata().is_ok_and(|ours| ours.ino() == named.ino()))
        {
            return Ok(file);
        }
    }
    Err(format!("{} is removed again and again", path.display()).into())
}

/// Waits for a shared lock on `folder`/`name`.
pub(super) fn shared(folder: &Path, name: &str) -> Result<File> {
    let file = open(&folder.join(name))?;
    file.lock_shared()?;
    Ok(file)
}

/// Whether nobody holds a lock on `folder`/`name`.
pub(super) fn is_free(folder: &Path, name: &str) -> Result<bool> {
    Ok(open(&folder.join(name))?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_its_file_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        let held = exclusive(&folder, "a").unwrap();
        assert!(!is_free(&folder, "a").unwrap());
        drop(held);
        assert!(is_free(&folder, "a").unwrap());

        let _one = shared(&folder, "b").unwrap();
        let _other = shared(&folder, "b").unwrap();
        assert!(!is_free(&folder, "b").unwrap());
    }
}
