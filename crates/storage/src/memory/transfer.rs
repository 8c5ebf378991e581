//! Export and import in memory.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::comparison::{Comparison, TurnKey};
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{Conversation, Durability, Entity, NewTurn, TransferRepository};

use super::{Memory, Row, StoredTurn, Tables};

impl StoredTurn {
    fn key(&self) -> TurnKey {
        TurnKey {
            turn_id: self.turn.turn_id,
            content_hash: self.content_hash,
            started_at: self.turn.started_at,
            completed_at: self.turn.completed_at,
            metadata: self.turn.metadata.clone(),
        }
    }
}

impl Row {
    /// All of it, in the order of an export. Texts and documents are shared, not copied.
    fn exported(&self) -> impl Iterator<Item = Exported> + use<'_> {
        let state = self.state.clone().map(|state| Exported::AgentState(Box::new(state)));
        let turns = self.turns.iter().map(|stored| Exported::Turn(Box::new(stored.turn.clone())));
        [Exported::Conversation(Box::new(self.conversation.clone()))].into_iter().chain(state).chain(turns)
    }

    /// What becomes of `incoming`, which has this conversation's id.
    fn compare(&self, incoming: &IncomingConversation) -> Result<Imported, Refusal> {
        let mut comparison = Comparison::begin(&incoming.head, &self.conversation, self.state.as_ref())?;
        let keys: Vec<TurnKey> = self.turns.iter().take(incoming.turns.len()).map(StoredTurn::key).collect();
        comparison.turns(&incoming.turns, &keys)?;
        Ok(comparison.end())
    }
}

impl Tables {
    /// Why `incoming`, whose own id is free, cannot be stored.
    pub(super) fn refuse_used(&self, incoming: &IncomingConversation) -> Result<(), Refusal> {
        let conversation = &incoming.head.conversation;
        if self.tombstones.contains_key(&conversation.conversation_id) {
            return Err(Refusal::deleted());
        }
        let has_external_id = conversation.external_id.is_some()
            && self.conversations.values().any(|row| {
                row.conversation.user_id == conversation.user_id
                    && row.conversation.external_id == conversation.external_id
            });
        if self.agents.contains_key(&conversation.agent_id) || has_external_id {
            return Err(Refusal::in_use(Entity::Conversation));
        }
        if incoming.turns.iter().any(|turn| self.turns.contains_key(&turn.turn_id())) {
            return Err(Refusal::in_use(Entity::Turn));
        }
        Ok(())
    }

    /// The same of an import that began `age` before it was `asked`: what is erased since is refused.
    fn import_begun(
        &mut self,
        incoming: IncomingConversation,
        (asked, age): (DateTime<Utc>, TimeDelta),
        now: DateTime<Utc>,
    ) -> Imported {
        let Conversation { user_id, conversation_id, .. } = incoming.head.conversation;
        let owned = OwnedConversation { user_id, conversation_id };
        let is_erased = || self.erased_of(vec![owned], asked).includes_of_age(owned, age);
        if !self.conversations.contains_key(&conversation_id) && is_erased() {
            return Imported::Refused(Refusal::deleted());
        }
        self.import(incoming, now)
    }

    pub(super) fn import(&mut self, incoming: IncomingConversation, now: DateTime<Utc>) -> Imported {
        if let Err(error) = incoming.validate() {
            return Imported::Refused(Refusal::invalid(&error));
        }
        let conversation_id = incoming.head.conversation.conversation_id;
        if let Some(row) = self.conversations.get(&conversation_id) {
            return row.compare(&incoming).unwrap_or_else(Imported::Refused);
        }
        if let Err(refusal) = self.refuse_used(&incoming) {
            return Imported::Refused(refusal);
        }
        let IncomingConversation { head: IncomingHead { conversation, mut agent_state }, turns } = incoming;
        if let Some(state) = &mut agent_state {
            state.durability = Durability::Volatile;
        }
        self.agents.insert(conversation.agent_id, conversation_id);
        self.turns.extend(turns.iter().map(|turn| (turn.turn_id(), conversation_id)));
        let updated_at = conversation.updated_at.min(now);
        let conversation =
            Conversation { updated_at, turn_count: 0, durability: Durability::Volatile, ..conversation };
        let mut row = Row { conversation, turns: Vec::with_capacity(turns.len()), state: agent_state };
        for turn in &turns {
            row.push(turn);
        }
        self.conversations.insert(conversation_id, row);
        Imported::Stored
    }
}

#[async_trait]
impl TransferRepository for Memory {
    #[tracing::instrument(name = "db.transfer.count_exported", skip_all)]
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64> {
        let tables = self.tables();
        Ok(tables.conversations.values().filter(|row| filter.takes(&row.conversation)).count() as u64)
    }

    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        let tables = self.tables();
        let mut rows: Vec<&Row> =
            tables.conversations.values().filter(|row| filter.takes(&row.conversation)).collect();
        rows.sort_by_key(|row| row.conversation.conversation_id);
        let exported: Vec<_> = rows.into_iter().flat_map(Row::exported).map(Ok).collect();
        stream::iter(exported).boxed()
    }

    #[tracing::instrument(name = "db.transfer.import", skip_all, fields(conversations = conversations.len()))]
    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let imported = conversations.into_iter();
        Ok(imported.map(|incoming| tables.import_begun(incoming, (now, age), now)).collect())
    }

    #[tracing::instrument(name = "db.transfer.import_long", skip_all, fields(conversation_id = %head.conversation.conversation_id))]
    async fn import_long(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported> {
        let asked = self.clock.now();
        // What is in memory afterwards may be so before.
        let turns: Vec<NewTurn> = match turns.try_collect().await {
            Ok(turns) => turns,
            Err(error) => return Imported::of_refusal(error),
        };
        let now = self.clock.now();
        let incoming = IncomingConversation { head, turns };
        Ok(self.tables().import_begun(incoming, (asked, age), now))
    }
}
