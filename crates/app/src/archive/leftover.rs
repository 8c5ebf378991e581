//! What is left of a write that was interrupted: files beside an archive's two. In a folder they stand under the name of
//! the file that was to be, with `#` and a number behind it, and the object store does not list them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path as FolderPath, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};
use lcs_domain::ArchiveId;
use object_store::Error;
use tokio::task::spawn_blocking;

use super::error::ArchiveError;
use super::files::{ArchiveFiles, DATA, Listed, MANIFEST};

fn is_of_archive(name: &str) -> bool {
    name == DATA || name == MANIFEST
}

impl ArchiveFiles {
    /// The names of files that stand beside an archive's own.
    pub(crate) async fn leftovers(&self, archive_id: ArchiveId) -> Result<Vec<String>, ArchiveError> {
        let mut names = match self.folder_of(archive_id) {
            Some(folder) => self.blocking(move || staged(&folder), "listed").await?,
            None => Vec::new(),
        };
        let prefix = self.prefix(archive_id);
        let listed: Vec<_> = self.listed(&prefix).try_collect().await.map_err(self.failed("listed"))?;
        let listed = listed.iter().filter_map(|file| file.location.filename());
        names.extend(listed.filter(|name| !is_of_archive(name)).map(str::to_owned));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The archives in whose folders something stands beside their own files, where they are folders of this machine.
    pub(super) async fn list_folders(&self) -> Result<BTreeMap<ArchiveId, Listed>, ArchiveError> {
        match self.folder_of_all() {
            Some(folder) => self.blocking(move || all_staged(&folder), "listed").await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Deletes what stands beside an archive's own files, and its folder, where nothing else is in it. What was begun in a
    /// bucket piece by piece and not ended, nobody can list: the bucket's own rule deletes it (docs/OPERATIONS.md).
    pub(crate) async fn delete_leftovers(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        if let Some(folder) = self.folder_of(archive_id) {
            return self.blocking(move || delete_staged(&folder), "deleted").await;
        }
        let prefix = self.prefix(archive_id);
        let mut files = self.listed(&prefix);
        while let Some(file) = files.next().await {
            let file = file.map_err(self.failed("listed"))?;
            if !file.location.filename().is_some_and(is_of_archive) {
                self.delete(&file.location).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
        what: &'static str,
    ) -> Result<T, ArchiveError> {
        let done = spawn_blocking(work).await.map_err(io::Error::other)?;
        done.map_err(|error| self.failed(what)(Error::Generic { store: "folder", source: error.into() }))
    }
}

fn all_staged(folder: &FolderPath) -> io::Result<BTreeMap<ArchiveId, Listed>> {
    let mut archives = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(archives),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let archive_id = entry.file_name().to_str().and_then(|name| name.parse::<ArchiveId>().ok());
        let Some(archive_id) = archive_id.filter(|_| entry.path().is_dir()) else { continue };
        let leftovers = staged(&entry.path())?;
        if !leftovers.is_empty() {
            archives.insert(archive_id, Listed { leftovers, ..Listed::default() });
        }
    }
    Ok(archives)
}

/// The files in this folder that are not an archive's own.
fn entries(folder: &FolderPath) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() && !entry.file_name().to_str().is_some_and(is_of_archive) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn staged(folder: &FolderPath) -> io::Result<Vec<String>> {
    let names = entries(folder)?.into_iter().filter_map(|path| {
        let name = path.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    Ok(names.collect())
}

fn delete_staged(folder: &FolderPath) -> io::Result<()> {
    for path in entries(folder)? {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Where something is in it yet, it stays.
    let _ = fs::remove_dir(folder);
    Ok(())
}
