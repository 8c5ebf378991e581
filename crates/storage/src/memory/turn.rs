//! Turns in memory.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, Durability, Entity, NewTurn, PageLimit, RepositoryError, Turn,
    TurnId, TurnPage, TurnRange, TurnRepository, UserId,
};

use super::{Memory, Row, StoredTurn};

impl Row {
    fn appended(&self, turn_number: u32, replayed: bool) -> Appended {
        Appended {
            turn_number: Some(turn_number),
            state_revision: self.conversation.state_revision,
            replayed,
            durability: Durability::Volatile,
        }
    }

    /// Stores the turn behind the last one.
    pub(super) fn push(&mut self, turn: &NewTurn) {
        self.conversation.turn_count += 1;
        self.turns.push(StoredTurn {
            content_hash: *turn.content_hash(),
            turn: Turn {
                turn_id: turn.turn_id(),
                conversation_id: self.conversation.conversation_id,
                turn_number: self.conversation.turn_count,
                input_messages: turn.input_messages().clone(),
                output_message: turn.output_message().cloned(),
                started_at: turn.started_at(),
                completed_at: turn.completed_at(),
                metadata: turn.metadata().clone(),
            },
        });
    }

    /// What to answer where this conversation has the turn's id already.
    fn replay(&self, turn: &NewTurn) -> RepositoryResult<Option<Appended>> {
        match self.turns.iter().find(|stored| stored.turn.turn_id == turn.turn_id()) {
            None => Ok(None),
            Some(stored) if stored.content_hash == *turn.content_hash() => {
                Ok(Some(self.appended(stored.turn.turn_number, true)))
            }
            Some(_) => Err(RepositoryError::IdempotencyMismatch { turn_id: turn.turn_id() }),
        }
    }

    fn refuse_other_turn_count(&self, expected: Option<u32>) -> RepositoryResult<()> {
        let observed = self.conversation.turn_count;
        match expected {
            Some(expected) if expected != observed => Err(RepositoryError::Conflict {
                entity: Entity::Conversation,
                expected: expected.into(),
                observed: observed.into(),
            }),
            _ => Ok(()),
        }
    }
}

impl Row {
    /// A page of its turns.
    pub(super) fn page(&self, range: TurnRange, limit: PageLimit) -> TurnPage {
        let limit = limit.get() as usize;
        // The turn of number n stands at n - 1.
        let end = self.turns.len();
        let (from, to) = match range {
            TurnRange::After(number) => {
                let from = (number as usize).min(end);
                (from, end.min(from + limit))
            }
            TurnRange::Before(number) => {
                let to = (number as usize).saturating_sub(1).min(end);
                (to.saturating_sub(limit), to)
            }
            TurnRange::Newest => (end.saturating_sub(limit), end),
        };
        let turns = self.turns.get(from..to).unwrap_or_default();
        TurnPage {
            turns: turns.iter().map(|stored| stored.turn.clone()).collect(),
            turn_count: self.conversation.turn_count,
            durability: Durability::Volatile,
        }
    }
}

#[async_trait]
impl TurnRepository for Memory {
    #[tracing::instrument(
        name = "db.turn.append",
        skip_all,
        fields(conversation_id = %append.conversation_id, turn_id = %append.turn.turn_id())
    )]
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let AppendTurn { conversation_id, turn, expected_turn_count, agent_state } = append;
        let turn_id = turn.turn_id();
        let now = self.clock.now();
        let mut tables = self.tables();
        let holder = tables.turns.get(&turn_id).copied();
        let row = tables.open_mut(user_id, conversation_id)?;
        if holder == Some(conversation_id)
            && let Some(replayed) = row.replay(&turn)?
        {
            return Ok(replayed);
        }
        row.refuse_closed()?;
        if let Some(update) = &agent_state {
            row.refuse_other_agent(update.agent_id)?;
        }
        row.refuse_other_turn_count(expected_turn_count)?;
        if let Some(update) = &agent_state {
            row.refuse_other_revision(update.expected_revision)?;
        }
        if holder.is_some() {
            return Err(RepositoryError::IdempotencyMismatch { turn_id });
        }
        row.touch(now);
        row.push(&turn);
        let turn_number = row.conversation.turn_count;
        if let Some(update) = agent_state {
            row.put_state(update.agent_config, Some(update.current_state), turn_number, now);
        }
        let appended = row.appended(turn_number, false);
        tables.turns.insert(turn_id, conversation_id);
        Ok(appended)
    }

    #[tracing::instrument(name = "db.turn.get", skip_all, fields(%conversation_id, %turn_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        let tables = self.tables();
        let turns = tables.open(user_id, conversation_id).map_or(&[][..], |row| &row.turns);
        Ok(turns.iter().map(|stored| &stored.turn).find(|turn| turn.turn_id == turn_id).cloned())
    }

    #[tracing::instrument(name = "db.turn.page", skip_all, fields(%conversation_id))]
    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        let tables = self.tables();
        let Some(row) = tables.open(user_id, conversation_id) else {
            return Ok(None);
        };
        Ok(Some(row.page(range, limit)))
    }
}
