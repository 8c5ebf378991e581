//! Erasing in a journal: entries and conflicts go unread, and are overwritten where they stood.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::erasure::{Erased, OwnedConversation};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationId, ErasureTarget, PageLimit, UserId};

use super::super::error::Failure;
use super::super::schema::journal_conflicts;
use super::table::{self, Read, Stored};
use super::tally::Tally;
use super::{AGAIN, Inner, JournalLook};

/// What an operation says of itself: nothing where it cannot be read, but for its user.
#[derive(Clone, Copy)]
struct Named {
    user_id: Option<UserId>,
    conversation: Option<(ConversationId, DateTime<Utc>)>,
}

/// What was found in a journal, or removed from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalMatches {
    /// The numbers of entries.
    pub entries: Vec<u64>,
    /// The numbers of conflicts.
    pub conflicts: Vec<u64>,
    /// The numbers of entries and conflicts that cannot be read and do not say that they are meant: nobody knows what
    /// they are about.
    pub unread: Vec<u64>,
}

impl JournalMatches {
    /// Notes of a row what it is: whether it is `meant`.
    fn note(&mut self, sequence: u64, named: Named, is_meant: bool, of_kind: fn(&mut Self) -> &mut Vec<u64>) {
        if is_meant {
            of_kind(self).push(sequence);
        } else if named.conversation.is_none() {
            self.unread.push(sequence);
        }
    }
}

fn named(stored: Stored) -> (u64, Named) {
    let user_id = stored.user();
    let Read { sequence, entry, .. } = stored.read();
    let conversation = entry.ok().map(|entry| (entry.operation.conversation_id(), entry.recorded_at));
    (sequence, Named { user_id, conversation })
}

/// Whether it is an operation of `target`, whenever it was taken.
fn is_of(target: ErasureTarget) -> impl Fn(Named) -> bool {
    move |named| match target {
        ErasureTarget::User(user_id) => named.user_id == Some(user_id),
        ErasureTarget::Conversation(conversation_id) => {
            named.conversation.is_some_and(|(found, _)| found == conversation_id)
        }
    }
}

fn find(connection: &mut SqliteConnection, is_meant: impl Fn(Named) -> bool) -> QueryResult<JournalMatches> {
    let mut matches = JournalMatches::default();
    let mut after = 0;
    loop {
        let page = table::stored_entries(connection, after, PageLimit::MAX)?;
        if page.is_empty() {
            break;
        }
        for (sequence, named) in page.into_iter().map(named) {
            after = sequence;
            matches.note(sequence, named, is_meant(named), |matches| &mut matches.entries);
        }
    }
    after = 0;
    loop {
        let page = table::stored_conflicts(connection, after, PageLimit::MAX)?;
        if page.is_empty() {
            return Ok(matches);
        }
        for (sequence, named) in page.into_iter().map(|(stored, ..)| named(stored)) {
            after = sequence;
            matches.note(sequence, named, is_meant(named), |matches| &mut matches.conflicts);
        }
    }
}

fn remove(
    connection: &mut SqliteConnection,
    tally: &mut Tally,
    is_meant: impl Fn(Named) -> bool,
) -> Result<JournalMatches, Failure> {
    let found = find(connection, is_meant)?;
    for sequence in &found.entries {
        table::remove(connection, tally, *sequence)?;
    }
    for sequence in &found.conflicts {
        let number = journal_conflicts::sequence.eq(table::column(*sequence));
        if diesel::delete(journal_conflicts::table).filter(number).execute(connection)? > 0 {
            tally.no_conflict();
        }
    }
    tally.look_for_oldest(connection)?;
    Ok(found)
}

impl Inner {
    /// Removes what is `erased`, and gives the numbers of the entries.
    pub(super) async fn erase(self: &std::sync::Arc<Self>, erased: Erased) -> RepositoryResult<Vec<u64>> {
        let removed = self.write(AGAIN, move |connection, tally, now| {
            remove(connection, tally, |named| {
                let Named { user_id: Some(user_id), conversation: Some((conversation_id, recorded_at)) } =
                    named
                else {
                    return false;
                };
                erased.includes(OwnedConversation { user_id, conversation_id }, recorded_at, now)
            })
        });
        let removed = removed.await?;
        if !removed.entries.is_empty() || !removed.conflicts.is_empty() {
            let (entries, conflicts) = (removed.entries.len(), removed.conflicts.len());
            tracing::info!(entries, conflicts, "what is erased was taken out of the journal");
            if let Err(error) = self.database.empty_log().await {
                // Whoever erases on this machine sees to it as well, and does not get past it.
                tracing::warn!(%error, "what was taken out of the journal is overwritten later");
            }
        }
        Ok(removed.entries)
    }
}

impl JournalLook {
    /// What of `target` it holds.
    pub async fn find_all(&self, target: ErasureTarget) -> RepositoryResult<JournalMatches> {
        self.database.read(move |connection| Ok(find(connection, is_of(target))?)).await
    }

    /// Removes what it holds of `target`. The process that has the journal finds that it is gone.
    ///
    /// # Errors
    /// `Overloaded` where it is removed, but the file's log cannot be emptied, and may have it still.
    pub async fn erase_all(&self, target: ErasureTarget) -> RepositoryResult<JournalMatches> {
        let removed = self.database.write(AGAIN, move |connection: &mut SqliteConnection, _| {
            // The process that has the journal counts anew when it sees that the file has changed.
            remove(connection, &mut Tally::default(), is_of(target))
        });
        let removed = removed.await?;
        // Also where there was nothing: an earlier run may have been stopped just here.
        self.database.empty_log().await?;
        Ok(removed)
    }
}
