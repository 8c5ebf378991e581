//! Archives in the configuration: whether what expires is archived, and where.

use super::document::Persistence;
use super::reader::Reader;
use crate::archive::ArchiveUrl;

const ARCHIVAL: &str = "persistence.enable_archival";
const URL: &str = "persistence.archive_url";

/// Reads both keys. A place alone is enough to restore from it.
pub(super) fn read(reader: &mut Reader<'_>, persistence: &Persistence) -> (bool, Option<ArchiveUrl>) {
    let enabled = reader.flag(ARCHIVAL, &persistence.enable_archival, false);
    let text = reader.text(URL, &persistence.archive_url);
    let url = text.map(|text| ArchiveUrl::parse(&text));
    match url {
        Some(Ok(url)) => (enabled, Some(url)),
        Some(Err(problem)) => {
            reader.problem(URL, problem);
            (enabled, None)
        }
        None => {
            if enabled && !reader.has_problem(URL) {
                reader.problem(
                    URL,
                    "archival is on, and there is no place for archives: write file:///FOLDER, s3://BUCKET/PREFIX, \
                     gs://BUCKET/PREFIX or az://CONTAINER/PREFIX",
                );
            }
            (enabled, None)
        }
    }
}
