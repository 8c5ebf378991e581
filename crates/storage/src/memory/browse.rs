//! Looking into conversations in memory, whosever they are.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversation, FoundConversations,
    OpenedConversation, PageLimit, Remains, TurnPage, TurnRange,
};

use super::{Memory, Row};

impl Row {
    fn found(&self) -> FoundConversation {
        let conversation = &self.conversation;
        FoundConversation {
            conversation_id: conversation.conversation_id,
            user_id: conversation.user_id,
            topic_summary: conversation.topic_summary.clone(),
            status: conversation.status,
            turn_count: conversation.turn_count,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }

    fn is_looked_for(&self, find: &FindConversations) -> bool {
        let conversation = &self.conversation;
        let (id, updated_at) = (conversation.conversation_id, conversation.updated_at);
        let is_behind = find.after.is_none_or(|after| {
            updated_at < after.updated_at || updated_at == after.updated_at && id > after.conversation_id
        });
        is_behind
            && find.id.is_none_or(|beginning| beginning.is_of(id))
            && find.user_id.is_none_or(|user_id| user_id == conversation.user_id)
            && find.finds_topic(conversation.topic_summary.as_deref())
    }
}

#[async_trait]
impl BrowseRepository for Memory {
    #[tracing::instrument(name = "db.browse.find_conversations", skip_all)]
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        find.validate()?;
        let tables = self.tables();
        let looked_for = tables.conversations.values().filter(|row| row.is_looked_for(&find));
        let mut found: Vec<_> = looked_for.map(Row::found).collect();
        found.sort_by(|a, b| {
            b.updated_at.cmp(&a.updated_at).then_with(|| a.conversation_id.cmp(&b.conversation_id))
        });
        Ok(FoundConversations::cut(found, find.limit))
    }

    #[tracing::instrument(name = "db.browse.open_conversation", skip_all, fields(%conversation_id))]
    async fn open_conversation(
        &self,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<OpenedConversation>> {
        Ok(self.tables().conversations.get(&conversation_id).map(|row| OpenedConversation {
            conversation: row.conversation.clone(),
            agent_state: row.state.clone(),
        }))
    }

    #[tracing::instrument(name = "db.browse.read_turns", skip_all, fields(%conversation_id))]
    async fn read_turns(
        &self,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        Ok(self.tables().conversations.get(&conversation_id).map(|row| row.page(range, limit)))
    }

    #[tracing::instrument(name = "db.browse.find_remains", skip_all, fields(%conversation_id))]
    async fn find_remains(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Remains>> {
        Ok(self.tables().tombstones.get(&conversation_id).map(|left| Remains {
            conversation_id,
            reason: left.reason.as_str().to_owned(),
            at: left.at,
        }))
    }

    #[tracing::instrument(name = "db.browse.delete_conversation", skip_all, fields(%conversation_id))]
    async fn delete_conversation(
        &self,
        conversation_id: ConversationId,
        by: Actor,
    ) -> RepositoryResult<bool> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let owner = tables.conversations.get(&conversation_id).map(|row| row.conversation.user_id);
        Ok(owner.is_some_and(|owner| tables.delete(owner, conversation_id, by, now)))
    }
}
