//! An import: a batch of conversations in one statement, or one long conversation in a transaction of its own.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::comparison::{Comparison, TurnKey};
use lcs_domain::transfer::{Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::turn::ContentHash;
use lcs_domain::{AgentState, Conversation, Entity, Metadata, NewTurn, RepositoryError, TurnId};
use uuid::Uuid;

use super::columns::Columns;
use super::restore::{Patience, Share};
use super::{BeginWriting, Commit, HeadRow, wait_for_reader};
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::locked::Locked;
use crate::postgres::operation::Effect;
use crate::postgres::pool::Session;
use crate::postgres::retry::outcome_unknown;
use crate::postgres::row::{ColumnsOf, OwnedAgentStateRow, OwnedConversationRow};
use crate::postgres::statement::statement;
use crate::row::{AgentStateRecord, ConversationRecord, Row};

/// How many turns are stored or compared by one statement.
pub(super) const TURNS: usize = 500;

statement! {
    /// Stores conversations: the ids of those that were.
    Import(include_str!("import.sql")) of Columns => SqlUuid {
        conversation_id as Array<SqlUuid>,
        user_id as Array<SqlUuid>,
        agent_id as Array<SqlUuid>,
        model_id as Array<SqlText>,
        system_prompt as Array<Nullable<SqlText>>,
        created_at as Array<Timestamptz>,
        updated_at as Array<Timestamptz>,
        status as Array<SqlText>,
        metadata as Array<Jsonb>,
        turn_count as Array<Integer>,
        state_revision as Array<BigInt>,
        topic_summary as Array<Nullable<SqlText>>,
        external_id as Array<Nullable<SqlText>>,
        state_conversation_id as Array<SqlUuid>,
        agent_config as Array<Nullable<Jsonb>>,
        agent_config_sealed as Array<Nullable<Bytea>>,
        current_state as Array<Nullable<Jsonb>>,
        current_state_sealed as Array<Nullable<Bytea>>,
        state_created_at as Array<Timestamptz>,
        state_updated_at as Array<Timestamptz>,
        through_turn as Array<Integer>,
        turn_conversation_id as Array<SqlUuid>,
        turn_number as Array<Integer>,
        turn_id as Array<SqlUuid>,
        content_hash as Array<Bytea>,
        input_messages as Array<Nullable<Jsonb>>,
        input_messages_sealed as Array<Nullable<Bytea>>,
        output_message as Array<Nullable<Jsonb>>,
        output_message_sealed as Array<Nullable<Bytea>>,
        started_at as Array<Timestamptz>,
        completed_at as Array<Timestamptz>,
        turn_metadata as Array<Jsonb>,
        archive_id as Nullable<SqlUuid>,
        began as Nullable<Timestamptz>,
    }
}

statement! {
    /// Stores turns of conversations whose heads are stored: how many.
    ImportTurns(include_str!("import_turns.sql")) of Columns => BigInt {
        turn_conversation_id as Array<SqlUuid>,
        turn_number as Array<Integer>,
        turn_id as Array<SqlUuid>,
        content_hash as Array<Bytea>,
        input_messages as Array<Nullable<Jsonb>>,
        input_messages_sealed as Array<Nullable<Bytea>>,
        output_message as Array<Nullable<Jsonb>>,
        output_message_sealed as Array<Nullable<Bytea>>,
        started_at as Array<Timestamptz>,
        completed_at as Array<Timestamptz>,
        turn_metadata as Array<Jsonb>,
    }
}

statement! {
    /// The conversation as it is.
    StoredHead(include_str!("head.sql")) -> (ColumnsOf<OwnedConversationRow>, Nullable<ColumnsOf<OwnedAgentStateRow>>) {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// What its turns are known by.
    Keys(include_str!("keys.sql")) -> (SqlUuid, Bytea, Timestamptz, Timestamptz, Jsonb) {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        after: i32 as Integer,
        limit: i64 as BigInt,
    }
}

statement! {
    /// Whether it was purged, or erased since.
    IsGone(include_str!("erased.sql")) -> Bool {
        conversation_id: Uuid as SqlUuid,
        user_id: Uuid as SqlUuid,
        began: DateTime<Utc> as Timestamptz,
    }
}

#[derive(Queryable)]
struct KeyRow {
    turn_id: Uuid,
    content_hash: Vec<u8>,
    started_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    metadata: Json,
}

impl TryFrom<KeyRow> for TurnKey {
    type Error = RepositoryError;

    fn try_from(row: KeyRow) -> RepositoryResult<Self> {
        let content_hash = ContentHash::try_from(row.content_hash).map_err(|_| {
            Row { table: "conversation_turns", key: row.turn_id }.inconsistent("content_hash", "not 32 bytes")
        })?;
        Ok(Self {
            turn_id: TurnId::from_uuid(row.turn_id),
            content_hash,
            started_at: row.started_at,
            completed_at: row.completed_at,
            metadata: Metadata::from_stored(row.metadata.0),
        })
    }
}

impl Postgres {
    pub(super) async fn import_all(
        &self,
        conversations: &[IncomingConversation],
        began: DateTime<Utc>,
    ) -> RepositoryResult<Vec<Imported>> {
        let refusals: Vec<_> = conversations.iter().map(|incoming| incoming.validate().err()).collect();
        let valid = || conversations.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none());
        // Of one that comes twice, the first: the statement knows its turns by its id alone.
        let mut sent = HashSet::new();
        let is_first =
            |incoming: &&IncomingConversation| sent.insert(incoming.head.conversation.conversation_id);
        let together: Vec<_> = valid().map(|(incoming, _)| incoming).filter(is_first).collect();
        let mut stored = match self.store(&together, began).await {
            Ok(stored) => Some(stored),
            // One of them is in the way of all: which one, each of them is asked alone.
            Err(Fault::Constraint(_)) => None,
            Err(fault) => return Err(fault.into_error()),
        };
        let mut imported = Vec::with_capacity(conversations.len());
        let mut answered = HashSet::new();
        for (incoming, refusal) in conversations.iter().zip(&refusals) {
            let id = Uuid::from(incoming.head.conversation.conversation_id);
            let is_first = refusal.is_some() || answered.insert(id);
            let is_stored = stored.as_mut().filter(|_| is_first).map(|stored| stored.remove(&id));
            imported.push(match (refusal, is_stored) {
                (Some(error), _) => Imported::Refused(Refusal::invalid(error)),
                (None, Some(true)) => Imported::Stored,
                (None, Some(false)) => self.compare(incoming, began).await?,
                (None, None) => self.import_alone(incoming, began).await?,
            });
        }
        Ok(imported)
    }

    /// Stores those of these conversations that nothing stands against.
    async fn store(
        &self,
        conversations: &[&IncomingConversation],
        began: DateTime<Utc>,
    ) -> Result<HashSet<Uuid>, Fault> {
        if conversations.is_empty() {
            return Ok(HashSet::new());
        }
        let columns = Columns { began: Some(began), ..Columns::of(conversations)? };
        let import = Import(&columns);
        let effect = Effect::Writes(Uuid::nil());
        Ok(self
            .run::<Uuid>(Purpose::Maintenance, effect, &Locked::import(&import))
            .await?
            .rows
            .into_iter()
            .collect())
    }

    async fn import_alone(
        &self,
        incoming: &IncomingConversation,
        began: DateTime<Utc>,
    ) -> RepositoryResult<Imported> {
        match self.store(&[incoming], began).await {
            Ok(stored) if !stored.is_empty() => Ok(Imported::Stored),
            Ok(_) => self.compare(incoming, began).await,
            Err(fault) => refused(fault),
        }
    }

    /// What becomes of a conversation that was not stored.
    async fn compare(
        &self,
        incoming: &IncomingConversation,
        began: DateTime<Utc>,
    ) -> RepositoryResult<Imported> {
        let mut comparison = match self.compare_head(&incoming.head, began).await? {
            Ok(comparison) => comparison,
            Err(refusal) => return Ok(Imported::Refused(refusal)),
        };
        for turns in incoming.turns.chunks(TURNS) {
            if let Err(refusal) = self.compare_turns(&mut comparison, &incoming.head, turns).await? {
                return Ok(Imported::Refused(refusal));
            }
        }
        Ok(comparison.end())
    }

    async fn compare_head(
        &self,
        head: &IncomingHead,
        began: DateTime<Utc>,
    ) -> RepositoryResult<Result<Comparison, Refusal>> {
        let conversation_id = head.conversation.conversation_id.into();
        let query = StoredHead { user_id: head.conversation.user_id.into(), conversation_id };
        let answer = self.run::<HeadRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        let Some(row) = answer.map_err(Fault::into_error)?.one() else {
            let answer = self.run::<bool>(Purpose::Maintenance, Effect::Reads, &is_gone(head, began)).await;
            let is_gone = answer.map_err(Fault::into_error)?.one().unwrap_or_default();
            let in_use = Refusal::in_use(Entity::Conversation);
            return Ok(Err(if is_gone { Refusal::deleted() } else { in_use }));
        };
        let stored: Conversation = ConversationRecord::from(row.conversation).try_into()?;
        let state = row.agent_state.map(AgentStateRecord::from).map(AgentState::try_from).transpose()?;
        Ok(Comparison::begin(head, &stored, state.as_ref()))
    }

    async fn compare_turns(
        &self,
        comparison: &mut Comparison,
        head: &IncomingHead,
        turns: &[NewTurn],
    ) -> RepositoryResult<Result<(), Refusal>> {
        let query = Keys {
            user_id: head.conversation.user_id.into(),
            conversation_id: head.conversation.conversation_id.into(),
            after: i32::try_from(comparison.compared()).unwrap_or(i32::MAX),
            limit: i64::try_from(turns.len()).unwrap_or(i64::MAX),
        };
        let answer = self.run::<KeyRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        let rows = answer.map_err(Fault::into_error)?.rows;
        let keys = rows.into_iter().map(TurnKey::try_from).collect::<RepositoryResult<Vec<_>>>()?;
        Ok(comparison.turns(turns, &keys))
    }

    /// Stores a conversation whose turns come one after the other, in one transaction. The lock of erasures is taken
    /// behind the last of them, and it is looked then whether it was erased: for as long as turns come, nobody waits.
    pub(super) async fn import_piece_by_piece(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        began: DateTime<Utc>,
    ) -> RepositoryResult<Imported> {
        if let Err(error) = head.validate() {
            return Ok(Imported::Refused(Refusal::invalid(&error)));
        }
        let mut turns = turns.ready_chunks(TURNS);
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        match store_head(&mut session, &head, began).await {
            Ok(true) => {}
            Ok(false) => return self.compare_piece_by_piece(&head, turns, began).await,
            Err(fault) => return refused(fault),
        }
        // Whoever leaves before the commit closes the connection, and the server forgets it all.
        let mut stored = 0;
        while let Some(piece) = turns.next().await {
            let mut columns = Columns::default();
            for turn in piece {
                let turn = match turn {
                    Ok(turn) => turn,
                    Err(error) => return Imported::of_refusal(error),
                };
                stored += 1;
                columns.push_turn(head.conversation.conversation_id, stored, &turn)?;
            }
            if let Err(fault) = session.load::<i64>(&ImportTurns(&columns)).await {
                return refused(fault);
            }
        }
        if stored != head.conversation.turn_count {
            return Ok(Imported::Refused(miscounted(&head, stored)));
        }
        if erased_meanwhile(&mut session, &head, began).await.map_err(Fault::into_error)? {
            return Ok(Imported::Refused(Refusal::deleted()));
        }
        match session.load::<i32>(&Commit {}).await {
            Ok(_) => Ok(Imported::Stored),
            Err(Fault::Lost(_)) => Err(outcome_unknown(head.conversation.conversation_id.into())),
            Err(fault) => Err(fault.into_error()),
        }
    }

    async fn compare_piece_by_piece(
        &self,
        head: &IncomingHead,
        mut turns: impl StreamExt<Item = Vec<RepositoryResult<NewTurn>>> + Unpin + Send,
        began: DateTime<Utc>,
    ) -> RepositoryResult<Imported> {
        let mut comparison = match self.compare_head(head, began).await? {
            Ok(comparison) => comparison,
            Err(refusal) => return Ok(Imported::Refused(refusal)),
        };
        while let Some(piece) = turns.next().await {
            let piece = match piece.into_iter().collect::<RepositoryResult<Vec<_>>>() {
                Ok(piece) => piece,
                Err(error) => return Imported::of_refusal(error),
            };
            if let Err(refusal) = self.compare_turns(&mut comparison, head, &piece).await? {
                return Ok(Imported::Refused(refusal));
            }
        }
        if comparison.compared() != head.conversation.turn_count {
            return Ok(Imported::Refused(miscounted(head, comparison.compared())));
        }
        Ok(comparison.end())
    }
}

/// Begins a transaction with the conversation in it; `false` where it is in the way of what is there.
async fn store_head(session: &mut Session, head: &IncomingHead, began: DateTime<Utc>) -> Result<bool, Fault> {
    let mut columns = Columns { began: Some(began), ..Columns::default() };
    columns.push(head)?;
    session.load::<i32>(&BeginWriting {}).await?;
    // The turns come as fast as the source gives them: a pipe may be slow.
    wait_for_reader(session).await?;
    Ok(!session.load::<Uuid>(&Import(&columns)).await?.is_empty())
}

fn is_gone(head: &IncomingHead, began: DateTime<Utc>) -> IsGone {
    let conversation = &head.conversation;
    IsGone {
        conversation_id: conversation.conversation_id.into(),
        user_id: conversation.user_id.into(),
        began,
    }
}

/// Whether what this transaction has stored was erased since. From here on to its end, nothing is.
async fn erased_meanwhile(
    session: &mut Session,
    head: &IncomingHead,
    began: DateTime<Utc>,
) -> Result<bool, Fault> {
    session.load::<bool>(&Patience {}).await?;
    session.load::<bool>(&Share {}).await?;
    Ok(session.load::<bool>(&is_gone(head, began)).await?.contains(&true))
}

pub(super) fn miscounted(head: &IncomingHead, came: u32) -> Refusal {
    let reason = format!("it says {}, and {came} came", head.conversation.turn_count);
    Refusal::invalid(&RepositoryError::invalid("/turn_count", reason))
}

/// What it is that a constraint refused a single conversation.
pub(super) fn refused(fault: Fault) -> RepositoryResult<Imported> {
    match &fault {
        Fault::Constraint(name) if name == "conversation_tombstones_pkey" => {
            Ok(Imported::Refused(Refusal::deleted()))
        }
        Fault::Constraint(name) if name.starts_with("agent_states_") && name.ends_with("key") => {
            Ok(Imported::Refused(Refusal::in_use(Entity::AgentState)))
        }
        _ => Imported::of_refusal(fault.into_error()),
    }
}
