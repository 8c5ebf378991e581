//! Judges a history: which of the anomalies that the promises exclude are in it.
//!
//! Each operation touches one conversation, and each element is appended once, so that what a sequential
//! store could have answered can be decided conversation by conversation, in the time that sorting takes.
//! An operation whose outcome is not known may have been done at any time from its beginning on, or never.

mod conversation;
mod isolation;
mod liveness;
mod order;
mod presence;
mod staleness;
mod state;
mod tally;

use std::collections::BTreeMap;
use std::fmt;

use self::conversation::Conversations;
pub use self::liveness::LIMIT_NS;
pub use self::tally::Tally;
use super::history::Record;

/// What the promises exclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An acknowledged turn, or a conversation, is not there in the end.
    Lost,
    /// An element stands in two places.
    Duplicate,
    /// Something is there that nobody wrote, that was refused, or that had been deleted.
    Phantom,
    /// A turn that was read stands elsewhere later.
    Reorder,
    /// What was acknowledged before something else began stands behind it, or not where it was said to.
    RealTime,
    /// What had been acknowledged is not in a later answer.
    Stale,
    /// Turn numbers are not 1..n.
    Gap,
    /// A part of something that is written whole.
    Torn,
    /// Two states were made from one revision.
    LostUpdate,
    /// Something of another user's was shown.
    Leak,
    /// What was said to be durable or journaled was lost with a failover or a restart.
    DurabilityLie,
    /// No answer for too long while the database was there; or something was left open.
    Liveness,
}

impl Kind {
    /// All of them, L1 first.
    pub const ALL: [Self; 12] = [
        Self::Lost,
        Self::Duplicate,
        Self::Phantom,
        Self::Reorder,
        Self::RealTime,
        Self::Stale,
        Self::Gap,
        Self::Torn,
        Self::LostUpdate,
        Self::Leak,
        Self::DurabilityLie,
        Self::Liveness,
    ];

    /// Its number and name, as the failure model has them.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Lost => "L1 lost",
            Self::Duplicate => "L2 duplicate",
            Self::Phantom => "L3 phantom",
            Self::Reorder => "L4 reorder",
            Self::RealTime => "L5 real-time",
            Self::Stale => "L6 stale",
            Self::Gap => "L7 gap",
            Self::Torn => "L8 torn",
            Self::LostUpdate => "L9 lost update",
            Self::Leak => "L10 leak",
            Self::DurabilityLie => "L11 durability lie",
            Self::Liveness => "L12 liveness",
        }
    }
}

/// One thing that the promises exclude.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// What it is.
    pub kind: Kind,
    /// The conversation that it is in.
    pub conversation: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in conversation {}: {}", self.kind.label(), self.conversation, self.what)
    }
}

/// What a history came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Everything that the promises exclude.
    pub anomalies: Vec<Anomaly>,
    /// How often what was done, and what came of it.
    pub tally: Tally,
    /// How long it took from the database being there to the first answer, in milliseconds.
    pub recoveries_ms: Vec<u64>,
}

impl Verdict {
    /// How many anomalies of each kind there are; each kind is named.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::from(Kind::ALL.map(|kind| (kind, 0)));
        for anomaly in &self.anomalies {
            *counts.entry(anomaly.kind).or_default() += 1;
        }
        counts
    }

    fn add(&mut self, kind: Kind, conversation: u64, what: String) {
        self.anomalies.push(Anomaly { kind, conversation, what });
    }
}

/// Judges a history.
#[must_use]
pub fn check(records: &[Record]) -> Verdict {
    let mut verdict = Verdict { tally: Tally::of(records), ..Verdict::default() };
    let conversations = Conversations::gather(records);
    for conversation in conversations.all() {
        order::check(conversation, &conversations, &mut verdict);
        presence::check(conversation, &conversations, &mut verdict);
        staleness::check(conversation, &mut verdict);
        state::check(conversation, &conversations, &mut verdict);
        isolation::check(conversation, &conversations, &mut verdict);
    }
    isolation::check_lists(&conversations, &mut verdict);
    liveness::check(records, &mut verdict);
    verdict
}
