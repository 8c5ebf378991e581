//! A live agent and the point in its conversation's history where it stands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lcs_domain::agent::Agent;
use lcs_domain::{AgentId, AgentStateUpdate, Appended, Head, Payload, PayloadLimits, UserId};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::rehydration::Rehydrated;

/// A live agent, shared by all who want to talk to it: one of them at a time.
pub(super) struct LiveAgent {
    /// Whose it is: for nothing but to know whether its user is erased.
    pub(super) user_id: UserId,
    standing: Arc<Mutex<Standing>>,
}

/// A live agent while one caller has it to himself.
pub(super) type HeldAgent = OwnedMutexGuard<Standing>;

pub(super) struct Standing {
    pub(super) agent: Box<dyn Agent>,
    pub(super) agent_id: AgentId,
    pub(super) agent_config: Payload,
    pub(super) config_stored: bool,
    /// Whether its state may be stored: not where it was made without what is stored, which it would replace.
    pub(super) keeps_state: bool,
    pub(super) turn_count: u32,
    pub(super) state_revision: u64,
    /// Whether the agent is what the store has. Not while it answers, and never again after an answer
    /// that was given up or stored without its state: such an agent is thrown away and made again.
    pub(super) settled: bool,
    /// How large the agent is taken to be: the documents that it was made from, then the state that it has.
    pub(super) bytes: u64,
}

impl LiveAgent {
    pub(super) fn new(user_id: UserId, rehydrated: Rehydrated) -> Self {
        let Rehydrated {
            agent,
            agent_id,
            agent_config,
            config_stored,
            keeps_state,
            turn_count,
            state_revision,
            bytes,
        } = rehydrated;
        let settled = true;
        let standing = Standing {
            agent,
            agent_id,
            agent_config,
            config_stored,
            keeps_state,
            turn_count,
            state_revision,
            settled,
            bytes,
        };
        Self { user_id, standing: Arc::new(Mutex::new(standing)) }
    }

    /// The agent for this caller alone, and whether he had to wait for it.
    pub(super) async fn hold(&self) -> (HeldAgent, bool) {
        match Arc::clone(&self.standing).try_lock_owned() {
            Ok(held) => (held, false),
            Err(_) => (Arc::clone(&self.standing).lock_owned().await, true),
        }
    }
}

impl Standing {
    /// Whether the agent stands where the conversation is now (P5).
    pub(super) fn is_at(&self, head: &Head) -> bool {
        self.settled && self.turn_count == head.turn_count && self.state_revision == head.state_revision
    }

    /// What is stored of the agent with the turn that it has just answered.
    pub(super) fn update(&self, limits: PayloadLimits) -> StateUpdate {
        if !self.keeps_state {
            return StateUpdate::Kept;
        }
        // The agent is its host's code: a panic in it must not take the answer along.
        let snapshot = catch_unwind(AssertUnwindSafe(|| self.agent.snapshot()));
        let reason = match snapshot {
            Ok(Ok(current_state)) => match limits.check(&current_state) {
                Ok(()) => {
                    return StateUpdate::New(AgentStateUpdate {
                        agent_id: self.agent_id,
                        agent_config: (!self.config_stored).then(|| self.agent_config.clone()),
                        current_state,
                        expected_revision: self.state_revision,
                    });
                }
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the agent panicked".to_owned(),
        };
        tracing::warn!(agent_id = %self.agent_id, reason, "the agent's state cannot be stored");
        StateUpdate::Unknown
    }

    /// The turn is stored, and the state where there is one to store: the agent stands behind them, and can be used again.
    pub(super) fn moved_to(&mut self, appended: &Appended) {
        if let Some(turn_number) = appended.turn_number {
            self.turn_count = turn_number;
            self.state_revision = appended.state_revision;
            self.config_stored |= self.keeps_state;
            self.settled = true;
        }
    }
}

/// What becomes of the stored state when a turn is stored.
pub(super) enum StateUpdate {
    /// This one takes its place.
    New(AgentStateUpdate),
    /// It stays as it is: the live agent is none that could go on from it.
    Kept,
    /// It stays as it is, for the agent cannot tell its state: it is made again from the turns.
    Unknown,
}

impl StateUpdate {
    /// How large the state is, if it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Self::New(state) => Some(state.current_state.as_json().len() as u64),
            Self::Kept | Self::Unknown => None,
        }
    }

    /// The state to append with the turn, if any.
    pub(super) fn into_state(self) -> Option<AgentStateUpdate> {
        match self {
            Self::New(state) => Some(state),
            Self::Kept | Self::Unknown => None,
        }
    }
}
