//! An archive's file: an export, compressed, written to a temporary file of this machine that has no name, so that
//! nothing is left of it whatever happens.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::audit::AuditHash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::record::{Header, Record, Trailer};
use lcs_domain::transfer::{ExportFilter, Exported, IncomingHead};
use lcs_domain::{ArchiveId, ConversationId, PayloadLimits, RepositoryError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::desk::{Answer, Desk};
use super::error::ArchiveError;
use super::manifest::{Entry, Manifest};
use crate::transfer::arrival::Arrival;
use crate::transfer::compression::{Compression, Writer};
use crate::transfer::file::{self, Line, Lines};

/// How large a document may have been when it was stored: whatever the limit is by now, it is read.
pub(crate) const LIMITS: PayloadLimits = PayloadLimits { max_bytes: 16 * 1024 * 1024 };
/// How many bytes are written before compression until no more conversations are taken.
const FULL: u64 = 64 * 1024 * 1024;
/// How many parts of an export are read ahead.
const PARTS: usize = 64;
/// How many batches are read ahead.
const AHEAD: usize = 2;

/// A file that is written, and all that its manifest says of it.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) turns: u64,
    pub(crate) conversations: Vec<Entry>,
    /// Whether there was more, for which it has no room.
    pub(crate) is_full: bool,
}

/// A file in the making.
struct Writing {
    writer: Writer<BufWriter<Hashed>>,
    written: u64,
    trailer: Trailer,
    conversations: Vec<Entry>,
    is_full: bool,
}

/// Hashes and counts what is written.
struct Hashed {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writing {
    fn begin() -> io::Result<Self> {
        let hashed = Hashed { file: tempfile::tempfile()?, digest: Sha256::new(), bytes: 0 };
        let writer = Compression::Zstandard.writer(BufWriter::new(hashed))?;
        Ok(Self {
            writer,
            written: 0,
            trailer: Trailer::default(),
            conversations: Vec::new(),
            is_full: false,
        })
    }

    fn put(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")?;
        self.written += line.len() as u64 + 1;
        Ok(())
    }

    fn end(mut self) -> Result<Volume, ArchiveError> {
        let trailer = self.trailer.to_line()?;
        self.put(&trailer)?;
        let hashed = self.writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Volume {
            file: hashed.file,
            bytes: hashed.bytes,
            sha256: AuditHash(hashed.digest.finalize().into()).to_string(),
            turns: self.trailer.turns,
            conversations: self.conversations,
            is_full: self.is_full,
        })
    }
}

impl Volume {
    /// Writes what is exported, until it is enough for one file: the conversations behind that are left.
    pub(crate) async fn write(
        desk: &Desk,
        mut parts: BoxStream<'static, RepositoryResult<Exported>>,
        exported_at: DateTime<Utc>,
    ) -> Result<Self, ArchiveError> {
        let (sender, receiver) = mpsc::channel(PARTS);
        let written = desk.begin(move || write(receiver, exported_at))?;
        while let Some(part) = parts.try_next().await? {
            // Where it is full, or has failed, no more is taken: its own word says which.
            if sender.send(part).await.is_err() {
                break;
            }
        }
        drop(sender);
        written.get().await?
    }

    /// Writes the lines of those conversations in `from` that are to be kept, as they stand there.
    pub(crate) async fn copy(
        desk: &Desk,
        from: File,
        keep: HashSet<ConversationId>,
        manifest: &Manifest,
    ) -> Result<Self, ArchiveError> {
        let archive_id = manifest.archive_id;
        match desk.run(move || copy(from, &keep)).await? {
            Err(ArchiveError::Temporary(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(ArchiveError::damaged(archive_id, "its file holds what is no export"))
            }
            copied => copied,
        }
    }

    /// Reads it before it is anywhere, as if it were the file of this archive.
    pub(crate) async fn check(self, desk: &Desk, archive_id: ArchiveId) -> Result<(), ArchiveError> {
        let manifest = self.described(Manifest::new(archive_id, DateTime::UNIX_EPOCH, None));
        let mut file = self.file;
        file.rewind()?;
        check(desk, file, &manifest).await
    }

    /// The manifest of the archive that this is the file of.
    pub(crate) fn described(&self, mut manifest: Manifest) -> Manifest {
        manifest.bytes = self.bytes;
        manifest.sha256.clone_from(&self.sha256);
        manifest.turns = self.turns;
        manifest.conversations.clone_from(&self.conversations);
        manifest
    }
}

fn write(mut parts: mpsc::Receiver<Exported>, exported_at: DateTime<Utc>) -> Result<Volume, ArchiveError> {
    let mut writing = Writing::begin()?;
    writing.put(&Header { exported_at, filter: ExportFilter::default() }.to_line()?)?;
    while let Some(part) = parts.blocking_recv() {
        if let Exported::Conversation(conversation) = &part {
            if writing.written > FULL {
                writing.is_full = true;
                break;
            }
            writing.conversations.push(Entry::of(conversation));
        }
        writing.trailer.count(&part);
        writing.put(&part.to_line()?)?;
    }
    writing.end()
}

fn copy(from: File, keep: &HashSet<ConversationId>) -> Result<Volume, ArchiveError> {
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    let reader = Compression::Zstandard.reader(BufReader::new(from))?;
    let longest = LIMITS.max_bytes.saturating_mul(4).saturating_add(1024 * 1024);
    let mut lines = Lines::new(BufReader::new(reader), longest);
    let (mut writing, mut is_kept) = (Writing::begin()?, false);
    loop {
        let line = match lines.next()? {
            Line::End => return writing.end(),
            Line::Text(line) => line,
            Line::TooLong | Line::NotUtf8 => return Err(odd().into()),
        };
        match Record::parse(line, LIMITS).map_err(|_| odd())? {
            Record::Header(_) => writing.put(line)?,
            Record::Conversation(conversation) => {
                is_kept = keep.contains(&conversation.conversation_id);
                if is_kept {
                    writing.conversations.push(Entry::of(&conversation));
                    writing.trailer.conversations += 1;
                    writing.put(line)?;
                }
            }
            Record::AgentState(_) if is_kept => {
                writing.trailer.agent_states += 1;
                writing.put(line)?;
            }
            Record::Turn(_) if is_kept => {
                writing.trailer.turns += 1;
                writing.put(line)?;
            }
            // The one that is written counts what was kept.
            Record::AgentState(_) | Record::Turn(_) | Record::Trailer(_) => {}
        }
    }
}

/// What arrives, and what becomes of the reading.
type Arriving = (mpsc::Receiver<Arrival>, Answer<Result<(), file::FileError>>);

/// What is in an archive's file, as an import reads it.
pub(crate) fn arrivals(desk: &Desk, file: File) -> io::Result<Arriving> {
    let (sender, arrivals) = mpsc::channel(AHEAD);
    let reading = desk.begin(move || {
        let unreadable = |source| file::FileError::Unreadable { line: 0, source };
        let reader = Compression::Zstandard.reader(BufReader::new(file)).map_err(unreadable)?;
        file::read(reader, LIMITS, sender)
    })?;
    Ok((arrivals, reading))
}

/// Reads the file of this archive to its end, and finds in it what its manifest says, and nothing else.
pub(crate) async fn check(desk: &Desk, file: File, manifest: &Manifest) -> Result<(), ArchiveError> {
    let damaged = |reason: String| ArchiveError::damaged(manifest.archive_id, reason);
    let mut expected: HashMap<_, _> =
        manifest.conversations.iter().map(|entry| (entry.conversation_id, entry)).collect();
    if expected.len() != manifest.conversations.len() {
        return Err(damaged("its manifest names a conversation twice".to_owned()));
    }
    let mut turns = 0;
    let (mut arrivals, reading) = arrivals(desk, file)?;
    let mut found = |head: &IncomingHead, came: u64, valid: Result<(), RepositoryError>| {
        let entry = Entry::of(&head.conversation);
        let id = entry.conversation_id;
        turns += came;
        valid
            .map_err(|error| damaged(format!("conversation {id} in its file may not be stored: {error}")))?;
        let is_whole = u64::from(entry.turn_count) == came;
        if is_whole && expected.remove(&id) == Some(&entry) {
            return Ok(());
        }
        Err(damaged(format!("conversation {id} in its file is not as its manifest says")))
    };
    while let Some(arrival) = arrivals.recv().await {
        match arrival {
            Arrival::Reject(reject) => {
                let place = reject.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                return Err(damaged(format!("{place}{}", reject.reason)));
            }
            Arrival::Batch(batch) => {
                for (_, incoming) in &batch {
                    found(&incoming.head, incoming.turns.len() as u64, incoming.validate())?;
                }
            }
            Arrival::Long(_, head, mut turns) => {
                let mut came = 0;
                while let Some(turn) = turns.recv().await {
                    turn.map_err(|error| damaged(error.to_string()))?;
                    came += 1;
                }
                found(&head, came, head.validate())?;
            }
        }
    }
    reading.get().await?.map_err(|error| damaged(error.to_string()))?;
    if let Some(id) = expected.keys().next() {
        return Err(damaged(format!("conversation {id} is in its manifest, and not in its file")));
    }
    if turns != manifest.turns {
        return Err(damaged("its file has not as many turns as its manifest says".to_owned()));
    }
    Ok(())
}
