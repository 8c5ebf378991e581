//! What is erased is not replayed: whoever erased it does not want it back, and knows nothing of this journal.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use lcs_domain::Repositories;
use lcs_domain::erasure::{Erased, OwnedConversation};
use lcs_domain::repository::RepositoryResult;

use super::super::journal::{Journal, Line};

/// How many lines the primary is asked for at once.
const AT_ONCE: usize = 500;

const fn owned(line: Line) -> OwnedConversation {
    OwnedConversation { user_id: line.user_id, conversation_id: line.conversation_id }
}

/// Takes what is erased of these lines out of the journal. Gives when the users were erased for the last time whose
/// lines they are, where any was.
pub(in super::super) async fn drop_erased(
    primary: &dyn Repositories,
    journal: &Journal,
    lines: &[Line],
) -> RepositoryResult<Option<DateTime<Utc>>> {
    let mut last = None;
    for lines in lines.chunks(AT_ONCE) {
        let asked: HashSet<_> = lines.iter().copied().map(owned).collect();
        let erased = primary.erasures().erased(asked.into_iter().collect()).await?;
        last = last.max(last_of(&erased));
        if !erased.conversations.is_empty() {
            journal.erase(&erased).await?;
        }
    }
    Ok(last)
}

/// A conversation that was begun by this replay, and was erased meanwhile, or its user was, later than `before`: it is
/// deleted again, so that nobody sees it, and retention removes it.
pub(super) async fn take_back(
    primary: &dyn Repositories,
    line: Line,
    before: Option<DateTime<Utc>>,
) -> RepositoryResult<()> {
    let erased = primary.erasures().erased(vec![owned(line)]).await?;
    let is_erased = erased.conversations.iter().any(|erased| erased.is_erased);
    if (is_erased || last_of(&erased) > before)
        && primary.conversations().delete(line.user_id, line.conversation_id).await?
    {
        let Line { conversation_id, .. } = line;
        tracing::warn!(%conversation_id, "a conversation was replayed while it was erased: it is deleted");
    }
    Ok(())
}

fn last_of(erased: &Erased) -> Option<DateTime<Utc>> {
    erased.conversations.iter().filter_map(|erased| erased.user_erased_at).max()
}
