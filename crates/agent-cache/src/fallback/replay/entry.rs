//! One entry of the journal, given to the primary as often as need be: what becomes of it.

use std::future::Future;

use chrono::{DateTime, Utc};
use lcs_domain::journal::{JournalEntry, JournalOperation, UpdateBase};
use lcs_domain::metadata::Mark;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, ConversationId, ConversationUpdate, Entity, Repositories, RepositoryError, SaveAgentState,
    Turn, UserId,
};

use super::super::journal::Journal;

/// Why a state is refused that was made from one that was.
pub(super) const MADE_FROM_REFUSED: &str =
    "it was made from what the database refused or had moved on from: the agent is made again from the turns";

/// What the primary made of an entry.
pub(super) enum Fate {
    /// It is stored.
    Stored {
        /// Why its agent state is not, where it had one and that was refused.
        refused_state: Option<String>,
        /// Whether it is stored otherwise than it was taken: the conversation had moved on.
        deviates: bool,
    },
    /// It is erased, or its user was since it was taken: it is to be forgotten.
    Erased,
    /// It can never be stored as it is, for this reason.
    Refused(String),
    /// The primary does not know what it is about, or finds it damaged there: perhaps it will be otherwise.
    Unknown(RepositoryError),
    /// The primary does not say whether this is about the entry or about everything.
    Unexplained(RepositoryError),
    /// The primary is gone, or takes nothing now.
    Gone(RepositoryError),
}

impl Fate {
    const AS_TAKEN: Self = Self::Stored { refused_state: None, deviates: false };

    fn of(error: RepositoryError) -> Self {
        match error {
            error if error.is_retryable() => Self::Gone(error),
            RepositoryError::NotFound { entity: Entity::Conversation }
            | RepositoryError::Inconsistent { .. } => Self::Unknown(error),
            RepositoryError::Backend { .. } => Self::Unexplained(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Why an update is refused that is older than what is there, or may be.
const NEWER: &str = "the conversation was changed meanwhile, and what is there may be newer: `journal retry` \
    puts this update over it";

/// How often an update is tried that others come before.
const UPDATE_TRIES: u32 = 5;

/// Gives the entry to the primary. `is_broken`: something before it in its line was not stored as it was
/// taken, and an agent state that was made after that is not to be stored, whatever its revision says.
pub(super) async fn replay(
    primary: &dyn Repositories,
    journal: &Journal,
    entry: &JournalEntry,
    is_broken: bool,
) -> Fate {
    let user_id = entry.user_id;
    let fate = match &entry.operation {
        // The one operation by which something comes back: to what was erased in the primary, nothing is appended.
        JournalOperation::Create(new) => {
            let created =
                primary.erasures().create_unless_erased(user_id, new.clone(), journal.age_of(entry));
            created.await.map(|created| if created.is_some() { Fate::AS_TAKEN } else { Fate::Erased })
        }
        JournalOperation::Update { conversation_id, update, base } => {
            let noted = |time| journal.note_tried(entry.sequence, time);
            replay_update(primary, user_id, *conversation_id, update, base, noted).await
        }
        JournalOperation::Append(append) => replay_append(primary, user_id, append, is_broken).await,
        JournalOperation::Save(_) if is_broken => Ok(Fate::Refused(MADE_FROM_REFUSED.to_owned())),
        JournalOperation::Save(save) => replay_save(primary, user_id, save).await,
        other => {
            Ok(Fate::Refused(format!("this program cannot replay an operation of kind {}", other.kind())))
        }
    };
    fate.unwrap_or_else(Fate::of)
}

/// An update has no key: done a second time, it would undo what was done between. So it is `noted` what it is
/// done to, before it is, and it is done to nothing else.
///
/// A conversation that is not as it was noted has been changed, by an earlier try of this or by somebody else:
/// it is left alone. Where it has what the update says, nothing is left to do.
async fn replay_update<N>(
    primary: &dyn Repositories,
    user_id: UserId,
    id: ConversationId,
    update: &ConversationUpdate,
    base: &UpdateBase,
    noted: impl Fn(DateTime<Utc>) -> N,
) -> RepositoryResult<Fate>
where
    N: Future<Output = RepositoryResult<()>>,
{
    let conversations = primary.conversations();
    let mut tried_on = base.tried_on;
    for _ in 0..UPDATE_TRIES {
        let found = conversations.get(user_id, id).await?;
        let found = found.ok_or(RepositoryError::not_found(Entity::Conversation))?;
        if update.is_done_in(&found) {
            return Ok(Fate::AS_TAKEN);
        }
        let is_newer = match tried_on {
            Some(time) => time != found.updated_at,
            None => base.seen.as_ref().is_some_and(|seen| !seen.is_done_in(&found)),
        };
        if is_newer {
            return Ok(Fate::Refused(NEWER.to_owned()));
        }
        if tried_on.is_none() {
            noted(found.updated_at).await?;
        }
        let update = ConversationUpdate { expected_updated_at: Some(found.updated_at), ..update.clone() };
        match conversations.update(user_id, id, update).await {
            // Somebody else came before. Nothing was done, now or earlier: it begins anew.
            Err(RepositoryError::Conflict { .. }) => tried_on = None,
            updated => return updated.map(|_| Fate::AS_TAKEN),
        }
    }
    let reason = "others change the conversation all the time: try again".to_owned();
    Err(RepositoryError::Overloaded { reason })
}

/// A turn that comes behind others than it was made to follow is marked as late; one whose agent state is
/// not stored, as interleaved. That mark is also how a second replay knows what the first one did.
///
/// A turn that was taken for a conversation nobody could see, without an expected turn count, follows
/// whatever is there: only a count tells whether the conversation moved on.
async fn replay_append(
    primary: &dyn Repositories,
    user_id: UserId,
    taken: &AppendTurn,
    is_broken: bool,
) -> RepositoryResult<Fate> {
    let turns = primary.turns();
    let mut append = taken.clone();
    let mut refused_state = None;
    let mut deviates = false;
    if is_broken {
        refused_state = without_state(&mut append, || MADE_FROM_REFUSED.to_owned())?;
    }
    let appended = loop {
        match turns.append(user_id, append.clone()).await {
            Err(error @ RepositoryError::Conflict { entity: Entity::Conversation, .. })
                if append.expected_turn_count.take().is_some() =>
            {
                deviates = true;
                append.turn = append.turn.marked(Mark::Late)?;
                // It has not seen the turns that are before it now.
                refused_state = without_state(&mut append, || error.to_string())?.or(refused_state);
            }
            Err(
                error @ (RepositoryError::Conflict { entity: Entity::AgentState, .. }
                | RepositoryError::NotFound { entity: Entity::AgentState }),
            ) if append.agent_state.is_some() => {
                refused_state = without_state(&mut append, || error.to_string())?;
            }
            appended => break appended?,
        }
    };
    if appended.replayed {
        // It was stored before, by a replay that was cut off or by the first call: its marks say how.
        let stored = turns.get(user_id, taken.conversation_id, taken.turn.turn_id()).await?;
        let is_without = stored.as_ref().is_some_and(Turn::is_interleaved);
        deviates = is_without || stored.as_ref().is_some_and(Turn::is_late);
        let reason = || "the turn had been stored without it".to_owned();
        refused_state =
            (is_without && taken.agent_state.is_some()).then(|| refused_state.unwrap_or_else(reason));
    }
    deviates |= refused_state.is_some();
    Ok(Fate::Stored { refused_state, deviates })
}

/// Takes the agent state away, if there is one, and marks the turn. Gives the reason where there was one.
fn without_state(
    append: &mut AppendTurn,
    reason: impl FnOnce() -> String,
) -> RepositoryResult<Option<String>> {
    if append.agent_state.take().is_none() {
        return Ok(None);
    }
    append.turn = append.turn.marked(Mark::Interleaved)?;
    Ok(Some(reason()))
}

async fn replay_save(
    primary: &dyn Repositories,
    user_id: UserId,
    save: &SaveAgentState,
) -> RepositoryResult<Fate> {
    let states = primary.agent_states();
    match states.save(user_id, save.clone()).await {
        Err(error @ RepositoryError::Conflict { entity: Entity::AgentState, .. }) => {
            // Perhaps a replay that was cut off has stored it.
            let stored = states.get_by_conversation(user_id, save.conversation_id).await?;
            let is_ours = stored.is_some_and(|stored| {
                stored.revision == save.expected_revision + 1
                    && stored.through_turn == save.through_turn
                    && stored.current_state == save.current_state
                    && save.agent_config.as_ref().is_none_or(|config| *config == stored.agent_config)
            });
            Ok(if is_ours { Fate::AS_TAKEN } else { Fate::Refused(error.to_string()) })
        }
        saved => saved.map(|_| Fate::AS_TAKEN),
    }
}
