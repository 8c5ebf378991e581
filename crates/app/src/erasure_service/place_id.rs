//! What the place of the archives is known by, as a run of an erasure reads it: once.

use tokio::sync::OnceCell;

use crate::archive::{ArchiveError, ArchiveFiles};

/// The place's own id, from when on it is known to have one.
#[derive(Debug, Default)]
pub(super) struct PlaceId(OnceCell<String>);

impl PlaceId {
    /// It; `None` where nobody has given it one.
    pub(super) async fn read(&self, files: &ArchiveFiles) -> Result<Option<&String>, ArchiveError> {
        if self.0.get().is_none()
            && let Some(place_id) = files.place_id().await?
        {
            // Who sets it at the same time has read the same.
            let _ = self.0.set(place_id);
        }
        Ok(self.0.get())
    }

    /// The same, which is given to the place where it has none: for who has seen that it is the right one.
    pub(super) async fn named(&self, files: &ArchiveFiles) -> Result<&String, ArchiveError> {
        self.0.get_or_try_init(|| files.named_place_id()).await
    }
}
