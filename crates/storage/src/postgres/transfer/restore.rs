//! What comes back from an archive: stored as an import stores it, where a tombstone says that it may, which is lifted
//! in the same transaction.

use std::collections::HashSet;
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Uuid as SqlUuid};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lcs_domain::archive::Restored;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{Actor, ArchiveId, ArchiveRepository, ConversationId, Entity, NewTurn, PurgeReason};
use uuid::Uuid;

use super::columns::Columns;
use super::import::{Import, ImportTurns, StoredHead, TURNS, miscounted, refused};
use super::{BeginWriting, Commit, HeadRow, wait_for_reader};
use crate::audit;
use crate::postgres::Postgres;
use crate::postgres::audit::Record;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::operation::Effect;
use crate::postgres::pool::Session;
use crate::postgres::retry::outcome_unknown;
use crate::postgres::statement::statement;

statement! {
    /// How long the lock below is waited for, in this transaction.
    Patience("SELECT set_config('lock_timeout', '30s', true) IS NOT NULL") -> Bool {}
}

statement! {
    /// Keeps away who removes what is archived, and who erases: they have this lock for themselves (locked.rs). A purge
    /// shares it: it sees nothing of this transaction, or all of it, and with it how long it is kept.
    Share(
        "SELECT true FROM pg_advisory_xact_lock_shared(hashtext('lcs-persistence hold'), hashtext(current_schema()))"
    ) -> Bool {}
}

statement! {
    /// Lets this transaction store what has a tombstone yet, which it lifts before it commits. The trigger looks then.
    Defer("SET CONSTRAINTS conversations_refuse_tombstoned DEFERRED") -> Integer {}
}

statement! {
    /// Lifts tombstones: whose.
    Lift(include_str!("../archive/lift.sql")) -> SqlUuid {
        archive_id: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// Says how long what was restored is kept.
    Keep(include_str!("../archive/restored.sql")) -> BigInt {
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
        keep_seconds: f64 as Double,
    }
}

/// How far a try came. Only what is stored is committed.
enum Attempt {
    Stored,
    /// No such tombstone is there to be lifted.
    NotArchived,
    /// Something of it has an id of something else.
    InUse,
}

/// From where conversations come back, and for how long they are kept then.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct Origin {
    pub(in crate::postgres) archive_id: ArchiveId,
    pub(in crate::postgres) keep: Duration,
}

impl Postgres {
    /// Restores these: all in one transaction, or where that cannot be, each in its own.
    pub(in crate::postgres) async fn restore_all(
        &self,
        from: Origin,
        conversations: &[IncomingConversation],
    ) -> RepositoryResult<Vec<Restored>> {
        let mut ids = HashSet::new();
        let is_plain = conversations.iter().all(|incoming| {
            incoming.validate().is_ok() && ids.insert(incoming.head.conversation.conversation_id)
        });
        if is_plain {
            match self.attempt(from, conversations).await {
                Ok(Attempt::Stored) => return Ok(vec![Restored::Stored; conversations.len()]),
                Ok(_) | Err(Fault::Constraint(_)) => {}
                Err(fault) => return Err(fault.into_error()),
            }
        }
        let mut restored = Vec::with_capacity(conversations.len());
        for incoming in conversations {
            restored.push(self.restore_alone(from, incoming).await?);
        }
        Ok(restored)
    }

    async fn restore_alone(
        &self,
        from: Origin,
        incoming: &IncomingConversation,
    ) -> RepositoryResult<Restored> {
        if let Err(error) = incoming.validate() {
            return Ok(Restored::Refused(Refusal::invalid(&error)));
        }
        match self.attempt(from, std::slice::from_ref(incoming)).await {
            Ok(Attempt::Stored) => Ok(Restored::Stored),
            Ok(Attempt::NotArchived) => self.why_not(&incoming.head).await,
            Ok(Attempt::InUse) => Ok(Restored::Refused(Refusal::in_use(Entity::Conversation))),
            Err(fault) => refused(fault).map(Restored::from),
        }
    }

    async fn attempt(&self, from: Origin, conversations: &[IncomingConversation]) -> Result<Attempt, Fault> {
        let columns = Columns::of(&conversations.iter().collect::<Vec<_>>())?;
        if columns.conversation_id.is_empty() {
            return Ok(Attempt::Stored);
        }
        // Whoever leaves before the commit closes the connection, and the server forgets it all.
        let mut session = self.begin_restoring().await?;
        session.load::<bool>(&Share {}).await?;
        if !lift(&mut session, from.archive_id, &columns.conversation_id).await? {
            return Ok(Attempt::NotArchived);
        }
        let stored = session.load::<Uuid>(&Import(&columns)).await?;
        if stored.len() < columns.conversation_id.len() {
            return Ok(Attempt::InUse);
        }
        let turns = columns.turn_id.len() as u64;
        self.end_restoring(&mut session, from, columns.conversation_id, turns).await?;
        Ok(Attempt::Stored)
    }

    /// Restores a conversation whose turns come one after the other. The lock is taken behind the last of them, and
    /// only then is its tombstone lifted: for as long as turns come, nobody waits for it.
    pub(in crate::postgres) async fn restore_piece_by_piece(
        &self,
        from: Origin,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        if let Err(error) = head.validate() {
            return Ok(Restored::Refused(Refusal::invalid(&error)));
        }
        let id = head.conversation.conversation_id;
        let mut turns = turns.ready_chunks(TURNS);
        let mut columns = Columns { archive_id: Some(from.archive_id.into()), ..Columns::default() };
        columns.push(&head)?;
        if !self.is_held_by(from.archive_id, id).await? {
            return self.why_not(&head).await;
        }
        let mut session = self.begin_restoring().await.map_err(Fault::into_error)?;
        wait_for_reader(&mut session).await.map_err(Fault::into_error)?;
        session.load::<i32>(&Defer {}).await.map_err(Fault::into_error)?;
        match session.load::<Uuid>(&Import(&columns)).await {
            Ok(stored) if !stored.is_empty() => {}
            // Something has its id; or it has come back, or was moved, just now.
            Ok(_) if self.is_held_by(from.archive_id, id).await? => {
                return Ok(Restored::Refused(Refusal::in_use(Entity::Conversation)));
            }
            Ok(_) => return self.why_not(&head).await,
            Err(fault) => return refused(fault).map(Restored::from),
        }
        let mut stored = 0;
        while let Some(piece) = turns.next().await {
            let mut columns = Columns::default();
            for turn in piece {
                let turn = match turn {
                    Ok(turn) => turn,
                    Err(error) => return Restored::of_refusal(error),
                };
                stored += 1;
                columns.push_turn(id, stored, &turn)?;
            }
            if let Err(fault) = session.load::<i64>(&ImportTurns(&columns)).await {
                return refused(fault).map(Restored::from);
            }
        }
        if stored != head.conversation.turn_count {
            return Ok(Restored::Refused(miscounted(&head, stored)));
        }
        session.load::<bool>(&Share {}).await.map_err(Fault::into_error)?;
        match lift(&mut session, from.archive_id, &[id.into()]).await {
            Ok(true) => {}
            // What was stored is forgotten with the connection, before it is asked what has become of it.
            Ok(false) => {
                drop(session);
                return self.why_not(&head).await;
            }
            Err(fault) => return refused(fault).map(Restored::from),
        }
        let ended = self.end_restoring(&mut session, from, vec![id.into()], stored.into()).await;
        ended.map(|()| Restored::Stored).map_err(Fault::into_error)
    }

    async fn begin_restoring(&self) -> Result<Session, Fault> {
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        session.load::<i32>(&BeginWriting {}).await?;
        session.load::<bool>(&Patience {}).await?;
        Ok(session)
    }

    /// Says how long it is kept, records it, and commits.
    async fn end_restoring(
        &self,
        session: &mut Session,
        from: Origin,
        conversation_ids: Vec<Uuid>,
        turns: u64,
    ) -> Result<(), Fault> {
        let key = conversation_ids.first().copied().unwrap_or_default();
        let ids: Vec<_> = conversation_ids.iter().copied().map(ConversationId::from_uuid).collect();
        let keep = Keep { conversation_ids, keep_seconds: from.keep.as_secs_f64() };
        session.load::<i64>(&keep).await?;
        let actor = Actor::from_stored(self.actor_or(Actor::service));
        if let Some(event) = audit::restoration(actor, from.archive_id, &ids, turns) {
            session.load::<bool>(&Record::of(&event)).await?;
        }
        match session.load::<i32>(&Commit {}).await {
            Ok(_) => Ok(()),
            Err(Fault::Lost(_)) => Err(outcome_unknown(key).into()),
            Err(fault) => Err(fault),
        }
    }

    /// Whether its tombstone names this archive.
    async fn is_held_by(&self, archive_id: ArchiveId, id: ConversationId) -> RepositoryResult<bool> {
        let left = self.tombstone(id).await?;
        Ok(left
            .is_some_and(|left| left.reason == PurgeReason::Expired && left.archive_id == Some(archive_id)))
    }

    /// What becomes of a conversation that has no tombstone of this archive, or is not to be lifted yet.
    async fn why_not(&self, head: &IncomingHead) -> RepositoryResult<Restored> {
        let id = head.conversation.conversation_id;
        if let Some(left) = self.tombstone(id).await? {
            return Ok(match left.archive_id {
                _ if left.reason != PurgeReason::Expired => Restored::Refused(Refusal::deleted()),
                None => Restored::Refused(Refusal::not_archived()),
                Some(_) => Restored::Elsewhere,
            });
        }
        let query = StoredHead { user_id: head.conversation.user_id.into(), conversation_id: id.into() };
        let answer = self.run::<HeadRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        if answer.map_err(Fault::into_error)?.one().is_some() {
            return Ok(Restored::Present);
        }
        Ok(Restored::Refused(Refusal::not_archived()))
    }
}

/// Lifts the tombstones of these; whether all of them were there, and the archive is closed.
async fn lift(session: &mut Session, archive_id: ArchiveId, ids: &[Uuid]) -> Result<bool, Fault> {
    let lift = Lift { archive_id: archive_id.into(), conversation_ids: ids.to_vec() };
    Ok(session.load::<Uuid>(&lift).await?.len() == ids.len())
}
