//! What is erased is not replayed: whoever erased it does not want it back, and knows nothing of this journal.

use std::collections::HashSet;

use lcs_domain::Repositories;
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::repository::RepositoryResult;

use super::super::journal::{Journal, Line};

/// How many lines the primary is asked for at once.
const AT_ONCE: usize = 500;

const fn owned(line: Line) -> OwnedConversation {
    OwnedConversation { user_id: line.user_id, conversation_id: line.conversation_id }
}

/// Takes what is erased of these lines out of the journal.
pub(in super::super) async fn drop_erased(
    primary: &dyn Repositories,
    journal: &Journal,
    lines: &[Line],
) -> RepositoryResult<()> {
    for lines in lines.chunks(AT_ONCE) {
        let asked: HashSet<_> = lines.iter().copied().map(owned).collect();
        let erased = primary.erasures().erased(asked.into_iter().collect()).await?;
        if !erased.conversations.is_empty() {
            journal.erase(&erased).await?;
        }
    }
    Ok(())
}
