//! Writes that the journal takes: acknowledged when they are on the disk, and not before.
//!
//! What memory knows, memory judges: a write that it would refuse is refused, and never journaled. Then
//! the journal takes it, then memory, in the same order for each conversation. What memory does not
//! know, nobody can judge yet: a turn is taken for its user, and the primary decides at the replay.
//!
//! Each write runs in a task of its own: a caller who gives up cannot leave it in one of the two.

use std::future::Future;
use std::sync::Arc;

use lcs_domain::journal::{JournalEntry, JournalOperation, UpdateBase};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, Conversation, ConversationId, ConversationStatus, ConversationUpdate, Durability,
    Entity, NewConversation, Repositories, RepositoryError, SaveAgentState, Saved, Turn, TurnId, UserId,
};

use super::journal::{Line, Place, Ticket};
use super::outage::Outage;

/// A write that is to be journaled.
pub(super) struct Intake {
    pub(super) outage: Arc<Outage>,
    pub(super) ticket: Ticket,
}

impl Intake {
    pub(super) async fn create(self, new: NewConversation) -> RepositoryResult<Conversation> {
        let key = new.conversation_id.to_string();
        in_a_task(key, async move { self.take_create(new).await }).await
    }

    pub(super) async fn update(self, update: ConversationUpdate) -> RepositoryResult<Conversation> {
        let key = self.ticket.line().conversation_id.to_string();
        in_a_task(key, async move { self.take_update(update).await }).await
    }

    pub(super) async fn append(self, append: AppendTurn) -> RepositoryResult<Appended> {
        let key = append.turn.turn_id().to_string();
        in_a_task(key, async move { self.take_append(append).await }).await
    }

    pub(super) async fn save(self, save: SaveAgentState) -> RepositoryResult<Saved> {
        let key = save.agent_id.to_string();
        in_a_task(key, async move { self.take_save(save).await }).await
    }

    async fn take_create(self, new: NewConversation) -> RepositoryResult<Conversation> {
        new.validate()?;
        let (id, user_id) = (new.conversation_id, self.ticket.line().user_id);
        let memory = self.outage.volatile().ok_or_else(|| self.outage.refusal("try again then"))?;
        let (journal, line) = (self.ticket.journal(), self.ticket.line());
        let _place = self.enter().await?;
        let conversations = memory.store().conversations();
        let existing = match memory.of_conversation(user_id, id) {
            Some(_) => conversations.get(user_id, id).await?,
            // It is there already, or was: memory would begin it anew, without what it holds.
            None if memory.has_forgotten(user_id, id) || journal.first(line).is_some() => {
                let then = "what is stored of this conversation cannot be known before, try again then";
                return Err(self.outage.refusal(then));
            }
            None => None,
        };
        let made = match existing {
            Some(existing) if new.made(user_id, &existing) => existing,
            Some(_) => return Err(RepositoryError::AlreadyExists { entity: Entity::Conversation }),
            None => {
                let create = || conversations.create(user_id, new.clone());
                self.take(JournalOperation::Create(new.clone()), &id.to_string(), create).await?
            }
        };
        memory.note_created(&made);
        Ok(Conversation { durability: Durability::Journaled, ..made })
    }

    async fn take_update(self, update: ConversationUpdate) -> RepositoryResult<Conversation> {
        update.validate()?;
        let (id, user_id) = (self.ticket.line().conversation_id, self.ticket.line().user_id);
        let _place = self.enter().await?;
        let (store, _) = self.outage.conversation(user_id, id)?;
        let conversations = store.conversations();
        let updated = if update.is_empty() {
            conversations.update(user_id, id, update).await?
        } else {
            let head = conversation(store, user_id, id).await?;
            update.refuse_changed(head.updated_at)?;
            // The time is memory's, and means nothing to the primary.
            let update = ConversationUpdate { expected_updated_at: None, ..update };
            let base = UpdateBase { seen: Some(update.same_fields_of(&head)), tried_on: None };
            let operation = JournalOperation::Update { conversation_id: id, update: update.clone(), base };
            self.take(operation, &id.to_string(), || conversations.update(user_id, id, update)).await?
        };
        Ok(Conversation { durability: Durability::Journaled, ..updated })
    }

    async fn take_append(self, append: AppendTurn) -> RepositoryResult<Appended> {
        let (id, user_id) = (append.conversation_id, self.ticket.line().user_id);
        let turn_id = append.turn.turn_id();
        let journal = self.ticket.journal();
        let _place = self.enter().await?;
        let known =
            self.outage.volatile().and_then(|memory| Some((memory, memory.of_conversation(user_id, id)?)));
        let Some((memory, store)) = known else {
            return self.take_unseen(append).await;
        };
        let turns = store.turns();
        let appended = if turns.get(user_id, id, turn_id).await?.is_some() {
            // It writes nothing: it says whether this is the same turn.
            turns.append(user_id, append).await?
        } else {
            let head = conversation(store, user_id, id).await?;
            refuse_append(&head, &append)?;
            if journal.turn(user_id, turn_id).is_some() {
                return Err(RepositoryError::IdempotencyMismatch { turn_id });
            }
            // What is provisional now is what has to be found at the replay, whoever replays it.
            let append = AppendTurn { expected_turn_count: Some(head.turn_count), ..append };
            let operation = JournalOperation::Append(append.clone());
            self.take(operation, &turn_id.to_string(), || turns.append(user_id, append)).await?
        };
        memory.note_appended(id, &appended);
        Ok(Appended { durability: Durability::Journaled, ..appended })
    }

    /// A turn of a conversation that nobody can see now: it gets no number, and its agent's state the
    /// revision that it will have if the conversation has not moved on.
    async fn take_unseen(&self, append: AppendTurn) -> RepositoryResult<Appended> {
        let turn_id = append.turn.turn_id();
        let state_revision = append.agent_state.as_ref().map_or(0, |state| state.expected_revision + 1);
        let pending = self.ticket.journal().turn(self.ticket.line().user_id, turn_id);
        if pending.is_some_and(|pending| {
            pending.conversation_id != append.conversation_id
                || pending.content_hash != *append.turn.content_hash()
        }) {
            return Err(RepositoryError::IdempotencyMismatch { turn_id });
        }
        if pending.is_none() {
            self.ticket
                .journal()
                .record(self.ticket.line().user_id, JournalOperation::Append(append))
                .await?;
        }
        let replayed = pending.is_some();
        Ok(Appended { turn_number: None, state_revision, replayed, durability: Durability::Journaled })
    }

    async fn take_save(self, save: SaveAgentState) -> RepositoryResult<Saved> {
        let (id, user_id) = (save.conversation_id, self.ticket.line().user_id);
        let _place = self.enter().await?;
        let (store, memory) = self.outage.conversation(user_id, id)?;
        let head = conversation(store, user_id, id).await?;
        refuse_save(&head, &save)?;
        let (operation, key) = (JournalOperation::Save(save.clone()), save.agent_id.to_string());
        let saved = self.take(operation, &key, || store.agent_states().save(user_id, save)).await?;
        memory.note_saved(id);
        Ok(Saved { durability: Durability::Journaled, ..saved })
    }

    /// Waits until nobody else writes in the line, and until it is known what the journal has.
    async fn enter(&self) -> RepositoryResult<Place<'_>> {
        let journal = self.ticket.journal();
        let place = journal.enter(self.ticket.line()).await?;
        // Memory has not been given what is found only now.
        let found = |line: Line| self.outage.forget(line);
        journal.make_sure(found).await?;
        Ok(place)
    }

    /// Journals what memory has been asked about, and gives it to memory.
    async fn take<T, F>(
        &self,
        operation: JournalOperation,
        key: &str,
        into_memory: impl FnOnce() -> F,
    ) -> RepositoryResult<T>
    where
        F: Future<Output = RepositoryResult<T>>,
    {
        let (journal, line) = (self.ticket.journal(), self.ticket.line());
        let sequence = journal.record(self.ticket.line().user_id, operation).await?;
        let taken = into_memory().await;
        // An id that another conversation has taken: that, memory says only when it is given the write.
        if taken.is_err() && journal.retract(line, sequence).await.is_err() {
            return Err(RepositoryError::OutcomeUnknown { key: key.to_owned() });
        }
        taken
    }
}

impl Outage {
    /// A turn of this line that is in the journal. Its place is not known yet, and its number is 0.
    pub(super) async fn journaled_turn(&self, line: Line, turn_id: TurnId) -> RepositoryResult<Option<Turn>> {
        let Some(journal) = self.journal() else { return Ok(None) };
        let pending = journal.turn(line.user_id, turn_id);
        let Some(pending) = pending.filter(|pending| pending.conversation_id == line.conversation_id) else {
            return Ok(None);
        };
        let Some(entry) = journal.entry(pending.sequence).await? else { return Ok(None) };
        let JournalOperation::Append(AppendTurn { turn, .. }) = entry.operation else { return Ok(None) };
        Ok(Some(Turn {
            turn_id,
            conversation_id: line.conversation_id,
            turn_number: 0,
            input_messages: turn.input_messages().clone(),
            output_message: turn.output_message().cloned(),
            started_at: turn.started_at(),
            completed_at: turn.completed_at(),
            metadata: turn.metadata().clone(),
        }))
    }
}

impl Outage {
    /// The conversation is the primary's again, or not what memory was given: memory knows it no more.
    pub(super) fn forget(&self, line: Line) {
        if let Some(memory) = self.volatile() {
            memory.forget(line.user_id, line.conversation_id);
        }
    }

    /// Gives memory what an earlier process has journaled, of the conversations that were begun in it.
    pub(super) async fn remember(&self, entries: Vec<JournalEntry>) {
        let (Some(memory), Some(journal)) = (self.volatile(), self.journal()) else { return };
        for JournalEntry { user_id, operation, .. } in entries {
            let id = operation.conversation_id();
            let store = memory.of_conversation(user_id, id);
            let is_broken = journal.is_broken(Line { user_id, conversation_id: id });
            let remembered = match (operation, store) {
                _ if is_broken || memory.has_forgotten(user_id, id) => Ok(()),
                (JournalOperation::Create(new), _) => {
                    let made = memory.store().conversations().create(user_id, new).await;
                    made.map(|made| memory.note_created(&made))
                }
                (JournalOperation::Append(append), Some(store)) => {
                    let appended = store.turns().append(user_id, append).await;
                    appended.map(|appended| memory.note_appended(id, &appended))
                }
                (JournalOperation::Save(save), Some(store)) => {
                    store.agent_states().save(user_id, save).await.map(|_| memory.note_saved(id))
                }
                (JournalOperation::Update { update, .. }, Some(store)) => {
                    store.conversations().update(user_id, id, update).await.map(drop)
                }
                (_, _) => Err(RepositoryError::not_found(Entity::Conversation)),
            };
            if remembered.is_err() {
                self.forget(Line { user_id, conversation_id: id });
            }
        }
    }
}

/// Runs to its end whoever waits for it.
async fn in_a_task<T: Send + 'static>(
    key: String,
    write: impl Future<Output = RepositoryResult<T>> + Send + 'static,
) -> RepositoryResult<T> {
    // A task that is gone was stopped with its runtime: whether the journal has it, the next start sees.
    tokio::spawn(write).await.unwrap_or(Err(RepositoryError::OutcomeUnknown { key }))
}

/// The conversation as memory has it.
async fn conversation(
    store: &dyn Repositories,
    user_id: UserId,
    id: ConversationId,
) -> RepositoryResult<Conversation> {
    let found = store.conversations().get(user_id, id).await?;
    found.ok_or(RepositoryError::not_found(Entity::Conversation))
}

/// What the port says of an append to such a conversation, in its order.
fn refuse_append(head: &Conversation, append: &AppendTurn) -> RepositoryResult<()> {
    refuse_closed(head)?;
    let state = append.agent_state.as_ref();
    if state.is_some_and(|state| state.agent_id != head.agent_id) {
        return Err(RepositoryError::not_found(Entity::AgentState));
    }
    let expected = append.expected_turn_count.unwrap_or(head.turn_count);
    refuse_other(Entity::Conversation, expected.into(), head.turn_count.into())?;
    let expected = state.map_or(head.state_revision, |state| state.expected_revision);
    refuse_other(Entity::AgentState, expected, head.state_revision)
}

/// What the port says of a save to such a conversation, in its order.
fn refuse_save(head: &Conversation, save: &SaveAgentState) -> RepositoryResult<()> {
    refuse_closed(head)?;
    if save.agent_id != head.agent_id {
        return Err(RepositoryError::not_found(Entity::AgentState));
    }
    save.refuse_unknown_turns(head.turn_count)?;
    refuse_other(Entity::AgentState, save.expected_revision, head.state_revision)
}

fn refuse_closed(head: &Conversation) -> RepositoryResult<()> {
    if head.status == ConversationStatus::Archived {
        return Err(RepositoryError::Closed { entity: Entity::Conversation });
    }
    Ok(())
}

fn refuse_other(entity: Entity, expected: u64, observed: u64) -> RepositoryResult<()> {
    if expected == observed {
        return Ok(());
    }
    Err(RepositoryError::Conflict { entity, expected, observed })
}
