//! The operator's port for looking into conversations, whosever they are.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::browse::{FindConversations, FoundConversations, OpenedConversation, Remains};
use crate::{Actor, ConversationId, PageLimit, TurnPage, TurnRange};

/// Finds and reads conversations of all users, the deleted ones too. It shows content: whoever calls it records that
/// in the audit log.
///
/// Where row-level security hides the users' rows from this program's role, everything is `Denied`: nothing is ever
/// shown as if it were not there.
#[async_trait]
pub trait BrowseRepository: Send + Sync {
    /// A page of the conversations that are looked for, newest first: by `updated_at` falling, then by id rising.
    ///
    /// # Errors
    /// `Invalid` and `TooLarge` as [`FindConversations::validate`] gives them, before anything else; `Overloaded` where
    /// it would take longer than some seconds: an id or a user makes it shorter.
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations>;

    /// The conversation, whosever it is and whatever its status.
    async fn open_conversation(
        &self,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<OpenedConversation>>;

    /// A page of its turns and how many it has, in one snapshot, turn numbers rising. `None` where it is not there.
    async fn read_turns(
        &self,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>>;

    /// What is left of it, where its rows were removed.
    async fn find_remains(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Remains>>;

    /// Deletes it for its user, as [`delete`](crate::ConversationRepository::delete) does, and records that `by` did
    /// so. `false` where it is not there, or is deleted.
    async fn delete_conversation(&self, conversation_id: ConversationId, by: Actor)
    -> RepositoryResult<bool>;
}
