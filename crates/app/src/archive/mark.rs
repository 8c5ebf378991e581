//! What a place is known by where no archive is left in it: a file that is made once, and stays.

use object_store::ObjectStoreExt as _;

use lcs_domain::ArchiveId;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::error::{ArchiveError, is_not_there};
use super::files::ArchiveFiles;

/// Its name, beside the folder of all archives.
const MARK: &str = "lcs-archives.json";

#[derive(Serialize, Deserialize)]
struct Mark {
    /// An id that no other place has.
    place_id: ArchiveId,
}

impl ArchiveFiles {
    /// The id of this place; `None` where nobody has given it one.
    ///
    /// # Errors
    /// `Place`, also where the file that says it is none that this program writes.
    pub async fn place_id(&self) -> Result<Option<String>, ArchiveError> {
        let found = match self.store().get(&self.mark()).await {
            Err(error) if is_not_there(&error) => return Ok(None),
            found => found.map_err(self.failed("read"))?,
        };
        let bytes = found.bytes().await.map_err(self.failed("read"))?;
        match serde_json::from_slice::<Mark>(&bytes) {
            Ok(Mark { place_id }) => Ok(Some(place_id.to_string())),
            Err(_) => {
                Err(self.unread(format!("{MARK} is none that this program writes: put it back from a copy, or delete it: an erasure makes a new one, \
                     and those that have not ended may then ask for --lost-archive")))
            }
        }
    }

    /// The same, which is given to it where it has none. For who has seen that it is the right place.
    pub(crate) async fn named_place_id(&self) -> Result<String, ArchiveError> {
        if let Some(place_id) = self.place_id().await? {
            return Ok(place_id);
        }
        let mark = Mark { place_id: ArchiveId::generate() };
        let bytes = serde_json::to_vec(&mark).map_err(std::io::Error::from)?;
        self.put_once(&self.mark(), bytes.into()).await?;
        // Another one may have been first.
        self.place_id().await?.ok_or_else(|| self.unread(format!("{MARK} is not there behind its writing")))
    }

    fn mark(&self) -> Path {
        self.top().join(MARK)
    }

    fn unread(&self, reason: String) -> ArchiveError {
        ArchiveError::Place { place: self.to_string(), what: "read", reason }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_place_keeps_the_first_id_that_it_is_given() {
        let store = Arc::new(InMemory::new());
        let (one, other) = (ArchiveFiles::over(store.clone()), ArchiveFiles::over(store.clone()));
        assert_eq!(one.place_id().await.unwrap(), None, "who only looks gives it none");
        let (first, second) = tokio::join!(one.named_place_id(), other.named_place_id());
        assert_eq!(first.as_ref().unwrap(), second.as_ref().unwrap());
        assert_eq!(one.place_id().await.unwrap(), first.ok());
        assert!(one.list().await.unwrap().is_empty(), "it is no archive");
        store.put(&one.mark(), "{}".into()).await.unwrap();
        let said = other.place_id().await.unwrap_err().to_string();
        assert!(said.contains("lcs-archives.json is none that this program writes"), "{said}");
    }
}
