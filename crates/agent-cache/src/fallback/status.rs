//! How the fallback stands: for readiness, metrics and logs.

use std::ops::AddAssign;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::FallbackMode;

/// Whether calls are sent to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// They are.
    Closed,
    /// They are not: the primary was gone when it was last asked.
    Open,
    /// They are not, and a probe is under way.
    HalfOpen,
    /// The primary is back, and the journal is being replayed: calls are sent to it but for those about
    /// what is still in the journal.
    Replaying,
}

impl CircuitState {
    /// The word for this state in answers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Replaying => "replaying",
        }
    }
}

/// What is, or was, in memory only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VolatileCount {
    /// Conversations that were begun in memory.
    pub conversations: u64,
    /// Their turns.
    pub turns: u64,
    /// Their agents' states.
    pub agent_states: u64,
}

impl AddAssign for VolatileCount {
    fn add_assign(&mut self, other: Self) {
        self.conversations += other.conversations;
        self.turns += other.turns;
        self.agent_states += other.agent_states;
    }
}

/// What is in the journal, as far as this process knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Operations that were acknowledged and are not in the primary yet.
    pub entries: u64,
    /// When the oldest of them was taken, by the journal's clock; `None` where there is none.
    pub oldest: Option<DateTime<Utc>>,
    /// Operations that the primary refused at a replay, and that nobody has resolved.
    pub conflicts: u64,
}

/// A snapshot of a fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackStatus {
    /// What it does while the circuit is open.
    pub mode: FallbackMode,
    /// Whether calls are sent to the primary.
    pub state: CircuitState,
    /// How long the outage has lasted, its replay included; `None` where the circuit is closed.
    pub open_for: Option<Duration>,
    /// How long until the next probe; `None` where the circuit is closed or the journal is replayed, zero
    /// where a probe is under way.
    pub next_probe_in: Option<Duration>,
    /// How the primary was last found to be gone, or why it takes nothing; `None` where calls are sent to it.
    pub last_failure: Option<String>,
    /// What is in memory only now.
    pub volatile: VolatileCount,
    /// What was in memory only and has been discarded, in all outages.
    pub discarded: VolatileCount,
    /// How often the circuit has opened.
    pub openings: u64,
    /// What is in the journal; nothing in the modes that have none.
    pub backlog: Backlog,
    /// Operations of the journal that have reached the primary, in this process's time.
    pub replayed: u64,
    /// Operations, and agent states of turns, that the primary refused at a replay, in this process's time.
    pub refused: u64,
}
