//! A live agent and the point in its conversation's history where it stands.

use std::sync::Arc;

use lcs_domain::agent::Agent;
use lcs_domain::{AgentId, AgentStateUpdate, Appended, Head, Payload};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::rehydration::Rehydrated;

/// A live agent, shared by all who want to talk to it: one of them at a time.
pub(super) struct LiveAgent {
    standing: Arc<Mutex<Standing>>,
}

/// A live agent while one caller has it to himself.
pub(super) type HeldAgent = OwnedMutexGuard<Standing>;

pub(super) struct Standing {
    pub(super) agent: Box<dyn Agent>,
    pub(super) agent_id: AgentId,
    pub(super) agent_config: Payload,
    pub(super) config_stored: bool,
    pub(super) turn_count: u32,
    pub(super) state_revision: u64,
    /// Whether the agent is what the store has. Not while it answers, and never again after an answer
    /// that was given up or stored without its state: such an agent is thrown away and made again.
    pub(super) settled: bool,
}

impl LiveAgent {
    pub(super) fn new(rehydrated: Rehydrated) -> Self {
        let Rehydrated { agent, agent_id, agent_config, config_stored, turn_count, state_revision } =
            rehydrated;
        let settled = true;
        let standing =
            Standing { agent, agent_id, agent_config, config_stored, turn_count, state_revision, settled };
        Self { standing: Arc::new(Mutex::new(standing)) }
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

    /// What is stored of the agent with the turn that it has just answered; `None` where it cannot tell:
    /// then the turn is stored without it, and the agent made again from the turns.
    pub(super) fn update(&self) -> Option<AgentStateUpdate> {
        match self.agent.snapshot() {
            Ok(current_state) => Some(AgentStateUpdate {
                agent_id: self.agent_id,
                agent_config: (!self.config_stored).then(|| self.agent_config.clone()),
                current_state,
                expected_revision: self.state_revision,
            }),
            Err(error) => {
                tracing::warn!(agent_id = %self.agent_id, %error, "the agent's state cannot be stored");
                None
            }
        }
    }

    /// The turn and the state are stored: the agent stands behind them, and can be used again.
    pub(super) fn moved_to(&mut self, appended: &Appended) {
        if let Some(turn_number) = appended.turn_number {
            self.turn_count = turn_number;
            self.state_revision = appended.state_revision;
            self.config_stored = true;
            self.settled = true;
        }
    }
}
