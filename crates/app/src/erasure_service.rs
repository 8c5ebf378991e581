//! Erasure: all that is of a user or a conversation goes, wherever it stands, and a certificate says so.
//!
//! The order is such that nothing comes back in between: first the erasure itself is stored, from when on replays and
//! restores know of it; then the rows go, batch by batch; then what is in this process, in this machine's journals and in
//! archives.
//! The certificate comes last, when a look finds nothing. Stopped at any point and begun again, it goes on.

mod archives;
mod certificate;
mod lost;
mod place;
mod place_id;
pub mod step;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lcs_agent_cache::Fallback;
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{ErasedArchive, ErasedRows, RemainingRows};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, ArchiveId, AuditDetail, AuditOutcome, Clock, Erasure, ErasureTarget, NewErasure, PageLimit,
    Repositories, RepositoryError,
};
use lcs_storage::sqlite::{JournalMatches, JournalSlot};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::archives::{Replacement, RewrittenArchive};
pub use self::certificate::{Certificate, CertifiedErasure, JournalRows, Target};

use self::archives::{Found, Reading, Seen};
use self::certificate::Verification;
use self::step::{Observer, Step};
use crate::{ArchiveService, DatabaseService, PersistentAgentManager, UnreadArchive};

/// How many conversations one transaction removes at most.
const BATCH: PageLimit = PageLimit::MAX;
/// How often it is looked for what came meanwhile.
const ROUNDS: u32 = 3;
/// How many earlier certificates are handed out again.
const EARLIER: PageLimit = PageLimit::MAX;

/// Erases, and looks whether anything is left.
#[derive(Clone)]
pub struct ErasureService {
    repositories: Arc<dyn Repositories>,
    database: DatabaseService,
    agents: PersistentAgentManager,
    archives: ArchiveService,
    fallback: Arc<Fallback>,
    journals: PathBuf,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

/// What there is of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// Rows, by table: those too of which there are none.
    pub tables: Vec<RemainingRows>,
    /// Operations in the journals of this machine.
    pub journals: JournalRows,
    /// Operations there that cannot be read: nobody knows whether they are of the target.
    pub unread: Vec<UnreadOperation>,
    /// Archives that hold something of it.
    pub archives: Vec<ErasedArchive>,
    /// Archives in the place that cannot be read, where all are looked into: nobody knows whether they hold something of it.
    pub unread_archives: Vec<UnreadArchive>,
}

/// An operation in a journal that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UnreadOperation {
    /// The journal's place in its folder.
    pub slot: u32,
    /// The operation's number in it.
    pub number: u64,
}

impl Remaining {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.tables.iter().all(|table| table.rows == 0)
            && self.journals == JournalRows::default()
            && self.unread.is_empty()
            && self.archives.is_empty()
            && self.unread_archives.is_empty()
    }
}

impl fmt::Display for Remaining {
    /// As `2 in requests, 1 in the journals`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.tables.iter().filter(|table| table.rows > 0).map(ToString::to_string).collect();
        let journaled = self.journals.entries + self.journals.conflicts;
        parts.extend((journaled > 0).then(|| format!("{journaled} in the journals of this machine")));
        let unread = self.unread.iter();
        parts.extend(unread.map(|UnreadOperation { slot, number }| {
            format!("operation {number} of journal {slot}, which cannot be read and may be of it")
        }));
        let archives = self.archives.iter();
        parts.extend(archives.map(|ErasedArchive { archive_id, archived, held, .. }| {
            format!("{} in archive {archive_id}", archived.max(held))
        }));
        let unread = self.unread_archives.iter();
        parts.extend(unread.map(|UnreadArchive { archive_id, reason }| {
            format!("archive {archive_id}, which cannot be read and may hold something of it ({reason})")
        }));
        f.write_str(if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }.as_str())
    }
}

/// How an erasure ended.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing is left, and this says so.
    Certified(Box<CertifiedErasure>),
    /// This is left, and there is no certificate: somebody writes meanwhile, or there is a table that this program does
    /// not know, or an operation that nobody can read.
    Left(Remaining),
}

impl fmt::Debug for ErasureService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasureService").field("journals", &self.journals).finish_non_exhaustive()
    }
}

impl ErasureService {
    pub(crate) fn new(
        database: DatabaseService,
        agents: PersistentAgentManager,
        archives: ArchiveService,
        fallback: Arc<Fallback>,
        journals: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let repositories: Arc<dyn Repositories> = fallback.clone();
        let observer = Observer::default();
        Self { repositories, database, agents, archives, fallback, journals, clock, observer }
    }

    /// The same, but `observer` is told of each step.
    #[must_use]
    pub(crate) fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    fn done(&self, step: Step) {
        self.observer.done(step);
    }

    /// What there is of `target`: in every table, in the journals of this machine, and in the archives that the store
    /// names or that are not settled.
    pub async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Remaining> {
        self.look(target, Reading::Named).await
    }

    /// The same before anything is erased: nothing is made for it, and where the archives' place is out of reach, it is
    /// what the store says of them, and why.
    pub async fn foreseen(&self, target: ErasureTarget) -> RepositoryResult<(Remaining, Option<String>)> {
        let (reading, unread) = self.reachable(target).await?;
        Ok((self.look(target, reading).await?, unread))
    }

    /// The same, but of archives what the store says of them: their place is not looked at, and may be out of reach.
    pub async fn remaining_by_the_store(&self, target: ErasureTarget) -> RepositoryResult<Remaining> {
        self.look(target, Reading::Nothing).await
    }

    /// What [`Self::remaining`] finds, and what there is in any archive in the place, whoever knows of it: each manifest is
    /// read, and those that cannot be are named.
    pub async fn remaining_anywhere(&self, target: ErasureTarget) -> RepositoryResult<Remaining> {
        self.look(target, Reading::Everything).await
    }

    async fn look(&self, target: ErasureTarget, reading: Reading) -> RepositoryResult<Remaining> {
        let tables = self.repositories.erasures().remaining(target).await?;
        let (mut journals, mut unread) = (JournalRows::default(), Vec::new());
        for slot in JournalSlot::all(&self.journals).await? {
            let found = slot.look(Arc::clone(&self.clock)).await?.find_all(target).await?;
            journals.add(&found);
            unread.extend(
                found.unread.iter().map(|number| UnreadOperation { slot: slot.number, number: *number }),
            );
        }
        let Found { holding: archives, unread: unread_archives } =
            self.archives_with(target, reading).await?;
        Ok(Remaining { tables, journals, unread, archives, unread_archives })
    }

    /// Erases `target`, or goes on where an earlier run was stopped. `progress` is told after each batch what is removed
    /// so far. The operator states that the files of the archives in `lost` are lost for good: they are not looked for.
    ///
    /// That there is nothing to erase is no error: the certificate then says so, and which earlier one there is.
    ///
    /// # Errors
    /// `Held` where a legal hold is on anything of it: recorded as refused; `Invalid` where an archive that is stated to be
    /// lost is there, or holds nothing of it, and then nothing is begun; and what stores and journals answer. What is erased
    /// by then is erased; run it again.
    pub async fn erase(
        &self,
        target: ErasureTarget,
        actor: Actor,
        lost: &[ArchiveId],
        mut progress: impl FnMut(&ErasedRows),
    ) -> RepositoryResult<Outcome> {
        let asked = NewErasure::of(target, actor);
        let erasures = self.repositories.erasures();
        let earlier = erasures.ended_erasures(target, EARLIER).await?;
        let mut seen = Seen::default();
        let stated = self.stated_lost(&asked, lost, &seen.place_id).await?;
        let begun = match erasures.begin_erasure(asked.clone()).await {
            Ok(begun) => begun,
            Err(error) => return Err(self.refused(&asked, error).await),
        };
        self.done(Step::Begun);
        let asked = NewErasure { erasure_id: begun.erasure_id, ..asked };
        if let Err(error) = self.note_lost(&asked, &begun, stated).await {
            return Err(self.refused(&asked, error).await);
        }
        let mut journals = JournalRows::default();
        let mut left = Remaining::default();
        for _ in 0..ROUNDS {
            let erased = loop {
                let step = match erasures.erase_some(asked.clone(), BATCH).await {
                    Ok(step) => step,
                    Err(error) => return Err(self.refused(&asked, error).await),
                };
                progress(&step.erasure.removed);
                self.done(Step::Removed);
                if !step.has_more {
                    break step.erasure;
                }
            };
            // Before this process looks at its own journal: it would not get past what it cannot read there.
            self.erase_in_journals(target, &mut journals).await?;
            self.forget_erased().await?;
            self.done(Step::Forgotten);
            let erased = match self.erase_in_archives(&asked, erased, &mut seen).await {
                Ok(erased) => erased,
                Err(error) => return Err(self.refused(&asked, error).await),
            };
            left = self.remaining(target).await?;
            if left.is_nothing() {
                self.done(Step::Looked);
                let certified = self.certify(asked, erased, &earlier, journals, left, seen).await?;
                self.done(Step::Certified);
                return Ok(Outcome::Certified(Box::new(certified)));
            }
        }
        Ok(Outcome::Left(left))
    }

    /// Has this process forget what is erased in the store: agents in memory, and what is in its journal.
    pub async fn forget_erased(&self) -> RepositoryResult<()> {
        self.agents.forget_erased().await?;
        self.fallback.forget_erased().await
    }

    async fn erase_in_journals(&self, target: ErasureTarget, rows: &mut JournalRows) -> RepositoryResult<()> {
        for slot in JournalSlot::all(&self.journals).await? {
            let removed: JournalMatches = slot.look(Arc::clone(&self.clock)).await?.erase_all(target).await?;
            rows.add(&removed);
        }
        Ok(())
    }

    async fn certify(
        &self,
        asked: NewErasure,
        erased: Erasure,
        earlier: &[Erasure],
        journals: JournalRows,
        verified: Remaining,
        seen: Seen,
    ) -> RepositoryResult<CertifiedErasure> {
        let migrations = self.database.migration_status().await?;
        let schema = migrations.into_iter().rfind(|migration| migration.applied);
        let archives = self.rewritten(&erased).await?;
        let place_confirmed = self.is_confirmed(&erased.archives, &seen.place_id).await;
        let place_confirmed = place_confirmed.map_err(archives::in_an_archive)?;
        let archived_conversations = erased.archives.iter().map(|archive| archive.archived).sum();
        let certificate = Certificate {
            format: certificate::FORMAT,
            erasure_id: erased.erasure_id,
            target: Target::of(&erased),
            begun_at: erased.begun_at,
            erased_at: erased.erased_at,
            erased: erased.removed,
            content_sha256: erased.content,
            journals,
            archived_conversations,
            archives,
            key_ids: Vec::new(),
            verification: Verification::of(self.clock.now(), verified, &seen.unread, place_confirmed),
            earlier: earlier.iter().filter_map(certificate::Earlier::of).collect(),
            software: concat!("lcs-persistence ", env!("CARGO_PKG_VERSION")),
            schema: schema.map(|migration| migration.name),
        };
        let text = serde_json::to_string(&certificate).map_err(unwritable)?;
        let detail = erased
            .removed
            .counted(AuditDetail::default().word("step", "certified"))
            .count("journal_entries", journals.entries)
            .count("journal_conflicts", journals.conflicts)
            .count("archived_conversations", archived_conversations)
            .count("archives", certificate.archives.len() as u64)
            .count(
                "lost_archives",
                erased.archives.iter().filter(|archive| archive.lost.is_some()).count() as u64,
            )
            .count("unread_archives", seen.unread.len() as u64)
            .count("key_ids", certificate.key_ids.len() as u64)
            .hash("content_sha256", erased.content)
            .hash("certificate_sha256", sha256(&text));
        let ended = self.repositories.erasures().end_erasure(asked, text, detail).await?;
        Ok(CertifiedErasure { unread_archives: seen.unread, ..CertifiedErasure::of(&ended, earlier)? })
    }

    /// Records that a hold refused it. The refusal is told whether that can be recorded or not.
    async fn refused(&self, asked: &NewErasure, error: RepositoryError) -> RepositoryError {
        if let RepositoryError::Held { hold_id, .. } = &error {
            let user_hash = asked.target.user().map(lcs_domain::erasure::user_hash);
            let erasure = asked.begun(user_hash, self.clock.now());
            let detail = AuditDetail::default().id("hold_id", *hold_id);
            let event = asked.event(&erasure, AuditOutcome::Refused, detail);
            if let Err(error) = self.repositories.audit().record(event).await {
                tracing::warn!(%error, "a refused erasure is not in the audit log");
            }
        }
        error
    }
}

fn sha256(text: &str) -> AuditHash {
    AuditHash(Sha256::digest(text.as_bytes()).into())
}

fn unwritable(error: serde_json::Error) -> RepositoryError {
    let reason = "the certificate cannot be written".to_owned();
    RepositoryError::Backend { reason, source: Some(Box::new(error)) }
}
