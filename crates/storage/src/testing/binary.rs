//! Where the server's binaries are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::Result;

const WANTED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
const ABSENT: &str = "no server binaries found: install them (`apt-get install postgresql`), \
                      or set PG_BIN to their folder, or TEST_DATABASE_URL to a server";

/// The folder that holds `initdb`, `pg_ctl` and `postgres`.
pub(super) fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PG_BIN") {
        let folder = PathBuf::from(folder);
        return match WANTED.iter().find(|name| !folder.join(name).is_file()) {
            None => Ok(folder),
            Some(name) => Err(format!("PG_BIN is {}, which holds no `{name}`", folder.display()).into()),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    on_path(&path).or_else(|| newest(Path::new("/usr/lib/postgresql"))).ok_or_else(|| ABSENT.into())
}

/// `PATH` may hold links to some of the binaries only; they need their siblings, so links are followed.
fn on_path(path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter_map(|folder| fs::canonicalize(folder.join("pg_ctl")).ok()?.parent().map(Path::to_path_buf))
        .find(|folder| complete(folder))
}

/// The distribution keeps each major version in a folder of its own.
fn newest(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    });
    versions.filter(|(_, folder)| complete(folder)).max().map(|(_, folder)| folder)
}

fn complete(folder: &Path) -> bool {
    WANTED.iter().all(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn install(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for name in WANTED {
            fs::write(folder.join(name), "").unwrap();
        }
    }

    #[test]
    fn links_on_path_lead_to_the_real_folder_and_the_newest_version_wins() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        install(&root.join("9/bin"));
        install(&root.join("15/bin"));
        fs::create_dir_all(root.join("16/bin")).unwrap();
        fs::create_dir(root.join("links")).unwrap();
        symlink(root.join("9/bin/pg_ctl"), root.join("links/pg_ctl")).unwrap();

        assert_eq!(on_path(root.join("links").as_os_str()), Some(root.join("9/bin")));
        assert_eq!(newest(&root), Some(root.join("15/bin")));
        assert_eq!(on_path(root.join("16/bin").as_os_str()), None);
    }
}
