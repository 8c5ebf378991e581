//! Where clusters lie.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A database is three hundred files: in memory it is made in 15 ms, on a disk's file system in 100 ms.
const MEMORY: &str = "/dev/shm";

/// What a whole run takes, and room to spare; a container's default of 64 MiB is too little.
const ROOM_KIB: u64 = 2 * 1024 * 1024;

/// The folder for clusters' folders: the one that `TEST_POSTGRES_FOLDER` names, else in memory where there
/// is room, else the temporary one.
pub(super) fn root() -> PathBuf {
    if let Some(folder) = env::var_os("TEST_POSTGRES_FOLDER") {
        return folder.into();
    }
    let memory = Path::new(MEMORY);
    if free_kib(memory).is_some_and(|free| free >= ROOM_KIB) && tempfile::tempdir_in(memory).is_ok() {
        return memory.to_owned();
    }
    env::temp_dir()
}

fn free_kib(folder: &Path) -> Option<u64> {
    let output = Command::new("df").args(["-k", "-P"]).arg(folder).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_room_is_a_number_and_only_of_what_exists() {
        assert!(free_kib(Path::new("/")).is_some());
        assert_eq!(free_kib(Path::new("/no/such/folder")), None);
    }
}
