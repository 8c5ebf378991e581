//! A store into a file.

use std::io::{self, Write};

use futures_util::TryStreamExt as _;
use lcs_domain::transfer::record::{Header, Trailer};
use lcs_domain::transfer::{ExportFilter, Exported};
use lcs_domain::{Clock, Repositories, RepositoryError};
use thiserror::Error;

/// Why an export came to nothing.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] RepositoryError),
    /// It could not be written: the writer's own error.
    #[error("{0}")]
    Writer(#[from] io::Error),
}

/// Writes what the filter takes to `writer`, from the header to the trailer, and says what it came to. What is
/// written when it ends with an error, or is given up, is no export.
///
/// `progress` is told of each conversation.
pub async fn export(
    store: &dyn Repositories,
    clock: &dyn Clock,
    filter: ExportFilter,
    writer: &mut (impl Write + Send),
    mut progress: impl FnMut() + Send,
) -> Result<Trailer, ExportError> {
    let header = Header { exported_at: clock.now(), filter: filter.clone() };
    put(writer, &header.to_line()?)?;
    let mut trailer = Trailer::default();
    let mut parts = store.transfers().export(filter);
    while let Some(part) = parts.try_next().await? {
        if matches!(part, Exported::Conversation(_)) {
            progress();
        }
        trailer.count(&part);
        put(writer, &part.to_line()?)?;
    }
    put(writer, &trailer.to_line()?)?;
    Ok(trailer)
}

fn put(writer: &mut impl Write, line: &str) -> io::Result<()> {
    writer.write_all(line.as_bytes())?;
    writer.write_all(b"\n")
}
