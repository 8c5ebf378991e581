//! The files of archives: written once, read, listed, deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::ArchiveId;
use object_store::path::Path;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart,
};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::desk::Desk;
use super::error::{ArchiveError, is_gone, is_not_there, is_there_already, reason, unopened};
use super::location::{ArchiveUrl, make_within};
use super::manifest::Manifest;
use lcs_domain::audit::AuditHash;

/// The name of the file with the conversations.
pub(crate) const DATA: &str = "conversations.jsonl.zst";
/// The name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";
/// How much is sent at once; less is sent whole.
const PIECE: usize = 8 * 1024 * 1024;
/// How many pieces are on their way at once.
const PIECES: usize = 2;
/// The most bytes that a manifest has: those of many more conversations than an archive holds.
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// A place with archives in it. Cheap to clone.
#[derive(Clone)]
pub struct ArchiveFiles {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// Where the store is a folder of this machine: that.
    folder: Option<PathBuf>,
    shown: String,
    desk: Arc<Desk>,
    /// For who is waited for, while the first one has a file to write.
    desk_aside: Arc<Desk>,
}

impl fmt::Debug for ArchiveFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveFiles").field(&self.shown).finish()
    }
}

/// The files of one archive, as a list of the place has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The bytes of its file, where that is there.
    pub data: Option<u64>,
    /// Whether its manifest is.
    pub manifest: bool,
    /// The names of files beside these two: what is left of a write that was interrupted, or is under way.
    pub leftovers: Vec<String>,
}

impl ArchiveFiles {
    /// The archives at this address. A bucket is not asked before it is needed; a folder is made.
    ///
    /// # Errors
    /// `Place` where what the environment says of it cannot be.
    pub fn open(url: &ArchiveUrl) -> Result<Self, ArchiveError> {
        let shown = url.to_string();
        if let Some((variable, names)) = url.exposed() {
            let reason = format!(
                "there are credentials in the address that {variable} holds: write it without them, and give them as \
                 {names}"
            );
            return Err(ArchiveError::Place { place: shown, what: "opened", reason });
        }
        if let Some(variable) = url.misaddressed() {
            let reason = format!("{variable} is no address of a server: write it like http://HOST:9000");
            return Err(ArchiveError::Place { place: shown, what: "opened", reason });
        }
        match url.open() {
            Ok((store, root)) => {
                let folder = url.folder().map(PathBuf::from);
                Ok(Self { root, folder, ..Self::at(store, shown) })
            }
            Err(error) => {
                let reason = match url.variables() {
                    Some(names) => unopened(&error, names),
                    None => reason(&error),
                };
                Err(ArchiveError::Place { place: shown, what: "opened", reason })
            }
        }
    }

    /// Archives in a store of the host's own.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        let shown = store.to_string();
        Self::at(store, shown)
    }

    fn at(store: Arc<dyn ObjectStore>, shown: String) -> Self {
        let (desk, desk_aside) = (Arc::default(), Arc::default());
        Self { store, root: Path::default(), folder: None, shown, desk, desk_aside }
    }

    /// The same place, with a thread of its own for files' bytes: what is done there does not wait for what an archive
    /// run does here.
    pub(crate) fn aside(&self) -> Self {
        Self { desk: Arc::clone(&self.desk_aside), ..self.clone() }
    }

    /// The folder of all archives, where that is one of this machine.
    pub(super) fn folder_of_all(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("archives"))
    }

    /// Who works with the bytes of files.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    fn root(&self) -> Path {
        self.top().join("archives")
    }

    /// The path of the place itself.
    pub(super) fn top(&self) -> Path {
        self.root.clone()
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// What the paths of this archive's files begin with.
    pub(super) fn prefix(&self, archive_id: ArchiveId) -> Path {
        self.root().join(archive_id.to_string())
    }

    fn path(&self, archive_id: ArchiveId, name: &str) -> Path {
        self.prefix(archive_id).join(name)
    }

    /// The folder of this archive's files, where that is one of this machine.
    pub(super) fn folder_of(&self, archive_id: ArchiveId) -> Option<PathBuf> {
        self.folder_of_all().map(|folder| folder.join(archive_id.to_string()))
    }

    pub(super) fn listed(&self, prefix: &Path) -> BoxStream<'static, Result<ObjectMeta, Error>> {
        self.store.list(Some(prefix))
    }

    pub(super) fn failed(&self, what: &'static str) -> impl Fn(Error) -> ArchiveError + use<'_> {
        move |error| ArchiveError::Place { place: self.shown.clone(), what, reason: reason(&error) }
    }

    /// Writes the file of an archive. `sending` is told of each piece that goes.
    pub(crate) async fn put_data(
        &self,
        archive_id: ArchiveId,
        file: File,
        sending: impl Fn() + Send + Sync,
    ) -> Result<(), ArchiveError> {
        self.make_room().await?;
        let path = self.path(archive_id, DATA);
        let (file, first) = self.piece(rewound(file)?).await?;
        if first.len() < PIECE {
            sending();
            return self.put_once(&path, first.into()).await;
        }
        let upload = self.store.put_multipart(&path).await.map_err(self.failed("written"))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
        match self.send(&mut upload, file, first, sending).await {
            Ok(()) => upload.finish().await.map(drop).map_err(self.failed("written")),
            Err(error) => {
                // What is there of it is of no use. Where that fails too, the bucket's own rule deletes it.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        upload: &mut WriteMultipart,
        mut file: File,
        mut next: Vec<u8>,
        sending: impl Fn() + Send + Sync,
    ) -> Result<(), ArchiveError> {
        while !next.is_empty() {
            upload.wait_for_capacity(PIECES).await.map_err(self.failed("written"))?;
            upload.put(next.into());
            sending();
            (file, next) = self.piece(file).await?;
        }
        Ok(())
    }

    /// Writes its manifest, when its file is there.
    pub(crate) async fn put_manifest(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let bytes = manifest.to_bytes().map_err(io::Error::from)?;
        self.put_once(&self.path(manifest.archive_id, MANIFEST), bytes.into()).await
    }

    /// Makes the folder of all archives, where that is one of this machine: nobody but its owner enters it, whoever may
    /// enter the place.
    async fn make_room(&self) -> Result<(), ArchiveError> {
        match (self.folder.clone(), self.folder_of_all()) {
            (Some(place), Some(folder)) => {
                self.blocking(move || make_within(&place, &folder), "written").await
            }
            _ => Ok(()),
        }
    }

    /// The next piece of the file: shorter than others where it is the last one.
    async fn piece(&self, file: File) -> io::Result<(File, Vec<u8>)> {
        let read = self.desk.run(move || {
            let left = file.metadata()?.len().min(PIECE as u64);
            let mut bytes = Vec::with_capacity(usize::try_from(left).unwrap_or(PIECE));
            (&file).take(PIECE as u64).read_to_end(&mut bytes).map(|_| (file, bytes))
        });
        read.await?
    }

    pub(super) async fn put_once(&self, path: &Path, bytes: PutPayload) -> Result<(), ArchiveError> {
        match self.store.put_opts(path, bytes.clone(), PutMode::Create.into()).await {
            Ok(_) => Ok(()),
            // Ids are given once: it is what this very call wrote, in a try whose answer was lost. It is read back.
            Err(error) if is_there_already(&error) => Ok(()),
            Err(Error::NotImplemented { .. }) => {
                self.store.put(path, bytes).await.map(drop).map_err(self.failed("written"))
            }
            Err(error) => Err(self.failed("written")(error)),
        }
    }

    /// The manifest of an archive; `None` where it is not there.
    pub async fn manifest(&self, archive_id: ArchiveId) -> Result<Option<Manifest>, ArchiveError> {
        let found = match self.store.get(&self.path(archive_id, MANIFEST)).await {
            Err(error) if is_not_there(&error) => return Ok(None),
            found => found.map_err(self.failed("read"))?,
        };
        if found.meta.size > MANIFEST_BYTES {
            return Err(ArchiveError::damaged(archive_id, "its manifest is larger than any"));
        }
        let bytes = found.bytes().await.map_err(self.failed("read"))?;
        let manifest = Manifest::read(archive_id, &bytes);
        manifest.map(Some).map_err(|reason| ArchiveError::damaged(archive_id, reason))
    }

    /// The manifest of an archive that has one.
    pub(crate) async fn manifest_of(&self, archive_id: ArchiveId) -> Result<Manifest, ArchiveError> {
        let manifest = self.manifest(archive_id).await?;
        manifest.ok_or_else(|| ArchiveError::damaged(archive_id, "its manifest is not there"))
    }

    /// The file of this archive, in a temporary one whose bytes are those that the manifest knows.
    pub(crate) async fn data(&self, manifest: &Manifest) -> Result<File, ArchiveError> {
        let damaged = |reason| ArchiveError::damaged(manifest.archive_id, reason);
        let found = match self.store.get(&self.path(manifest.archive_id, DATA)).await {
            Err(error) if is_not_there(&error) => return Err(damaged("its file is not there")),
            found => found.map_err(self.failed("read"))?,
        };
        if found.meta.size != manifest.bytes {
            return Err(damaged("its file is not as long as its manifest says"));
        }
        let (mut file, mut digest) = (tempfile::tempfile()?, Sha256::new());
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(self.failed("read"))? {
            digest.update(&piece);
            // Not at the desk: what is done there may take long, and the other side does not wait for it.
            let write = spawn_blocking(move || file.write_all(&piece).map(|()| file));
            file = write.await.map_err(io::Error::other)??;
        }
        if AuditHash(digest.finalize().into()).to_string() != manifest.sha256 {
            return Err(damaged("its file was changed after it was written"));
        }
        Ok(rewound(file)?)
    }

    /// Deletes the file with the conversations, where it is there.
    pub(crate) async fn delete_data(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        self.delete(&self.path(archive_id, DATA)).await
    }

    /// Deletes the manifest, where it is there.
    pub(crate) async fn delete_manifest(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        self.delete(&self.path(archive_id, MANIFEST)).await
    }

    pub(super) async fn delete(&self, path: &Path) -> Result<(), ArchiveError> {
        match self.store.delete(path).await {
            // Somebody else deletes the same, and was first with the file, or with its folder behind it.
            Err(error) if is_not_there(&error) || self.folder.is_some() && is_gone(&error) => Ok(()),
            Err(error) => Err(self.failed("deleted")(error)),
            Ok(()) => Ok(()),
        }
    }

    /// The archives that are there, by what their files are called.
    pub async fn list(&self) -> Result<BTreeMap<ArchiveId, Listed>, ArchiveError> {
        let root = self.root();
        let mut archives = self.list_folders().await?;
        let mut files = self.listed(&root);
        while let Some(file) = files.try_next().await.map_err(self.failed("listed"))? {
            let Some(parts) = file.location.prefix_match(&root) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            let [id, name] = parts.as_slice() else { continue };
            let Ok(archive_id) = id.parse::<ArchiveId>() else { continue };
            let listed = archives.entry(archive_id).or_default();
            match name.as_str() {
                DATA => listed.data = Some(file.size),
                MANIFEST => listed.manifest = true,
                name if self.folder.is_none() => listed.leftovers.push(name.to_owned()),
                // Among those of its folder.
                _ => {}
            }
        }
        Ok(archives)
    }

    /// Whether anything of this archive is there.
    pub(crate) async fn is_there(&self, archive_id: ArchiveId) -> Result<bool, ArchiveError> {
        let mut files = self.listed(&self.prefix(archive_id));
        let found = files.try_next().await.map_err(self.failed("listed"))?;
        Ok(found.is_some() || !self.leftovers(archive_id).await?.is_empty())
    }

    /// Whether the file of this archive is there, and its manifest is not.
    pub(crate) async fn is_headless(&self, archive_id: ArchiveId) -> Result<bool, ArchiveError> {
        Ok(self.has(archive_id, DATA).await? && !self.has(archive_id, MANIFEST).await?)
    }

    async fn has(&self, archive_id: ArchiveId, name: &str) -> Result<bool, ArchiveError> {
        match self.store.head(&self.path(archive_id, name)).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_there(&error) => Ok(false),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// Refuses where the file of this archive or its manifest is not there.
    pub(crate) async fn require(&self, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        for name in [DATA, MANIFEST] {
            if !self.has(archive_id, name).await? {
                return Err(self.missing(archive_id));
            }
        }
        Ok(())
    }

    /// That the files of this archive are not all there.
    pub(crate) fn missing(&self, archive_id: ArchiveId) -> ArchiveError {
        ArchiveError::Missing { archive_id, place: self.shown.clone() }
    }

    /// Whether files can be written, read and deleted there.
    pub async fn probe(&self) -> Result<(), ArchiveError> {
        let path = self.root.clone().join(format!("probe-{}", ArchiveId::generate()));
        self.store.put(&path, "probe".into()).await.map_err(self.failed("written"))?;
        self.store.get(&path).await.map_err(self.failed("read"))?;
        self.store.delete(&path).await.map_err(self.failed("deleted"))
    }
}

impl fmt::Display for ArchiveFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn rewound(mut file: File) -> io::Result<File> {
    file.rewind().map(|()| file)
}
