//! How long an idle conversation is kept, and what a cleaning run did.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use crate::{Actor, AgentId, ConversationId, ConversationStatus, RepositoryError, UserId};

/// How long after the end of its lease a request without an answer is kept for a retry.
pub const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// How long somebody waits at most for his turn to remove conversations at a pace.
pub const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How long it takes to remove so many conversations at this rate.
#[must_use]
pub fn turn_of(count: u32, per_second: NonZeroU32) -> Duration {
    Duration::from_secs(1) * count / per_second.get()
}

/// When a conversation may be purged: by the store's own clock, when it has been idle longer than its status
/// allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    active: Duration,
    archived: Duration,
    deleted: Duration,
    expires: bool,
}

impl RetentionPolicy {
    /// Purge what has been idle longer than `idle`; and what its user deleted, at once.
    ///
    /// At most a thousand years: more is refused, so that a cut-off is a time that every store can hold.
    pub fn idle_longer_than(idle: Duration) -> Result<Self, RepositoryError> {
        let idle = bounded(idle)?;
        Ok(Self { active: idle, archived: idle, deleted: Duration::ZERO, expires: true })
    }

    /// The same, but what is archived when it has been idle longer than this.
    pub fn archived_longer_than(self, idle: Duration) -> Result<Self, RepositoryError> {
        Ok(Self { archived: bounded(idle)?, ..self })
    }

    /// The same, but what its user deleted when that is longer ago than this; zero: at once.
    pub fn deleted_longer_than(self, idle: Duration) -> Result<Self, RepositoryError> {
        Ok(Self { deleted: bounded(idle)?, ..self })
    }

    /// The same for what its user deleted; what is idle is kept, however long. That is archived first.
    #[must_use]
    pub const fn deleted_only(self) -> Self {
        Self { expires: false, ..self }
    }

    /// Whether what is idle may go.
    #[must_use]
    pub const fn expires(&self) -> bool {
        self.expires
    }

    /// How long a conversation of this status may be idle.
    #[must_use]
    pub const fn idle(&self, status: ConversationStatus) -> Duration {
        match status {
            ConversationStatus::Active => self.active,
            ConversationStatus::Archived => self.archived,
            ConversationStatus::Deleted => self.deleted,
        }
    }

    /// Until when a conversation of this status is kept that was last changed then, where its user has `own`
    /// retention; `None`: for ever.
    #[must_use]
    pub fn expires_at(
        &self,
        status: ConversationStatus,
        updated_at: DateTime<Utc>,
        own: Option<Keep>,
    ) -> Option<DateTime<Utc>> {
        let idle = match (status, own) {
            (ConversationStatus::Deleted, _) | (_, None) => self.idle(status),
            (_, Some(Keep::Forever)) => return None,
            (_, Some(Keep::Days(days))) => DAY * days,
        };
        updated_at.checked_add_signed(TimeDelta::from_std(idle).ok()?)
    }

    /// Whether it may go now.
    #[must_use]
    pub fn is_due(
        &self,
        status: ConversationStatus,
        updated_at: DateTime<Utc>,
        own: Option<Keep>,
        now: DateTime<Utc>,
    ) -> bool {
        status == ConversationStatus::Deleted && self.deleted.is_zero()
            || (self.expires || status == ConversationStatus::Deleted)
                && self.expires_at(status, updated_at, own).is_some_and(|at| at < now)
    }
}

const DAY: Duration = Duration::from_hours(24);

fn bounded(idle: Duration) -> Result<Duration, RepositoryError> {
    const MAX: Duration = Duration::from_hours(1000 * 366 * 24);
    if idle > MAX {
        return Err(RepositoryError::invalid("/idle", "longer than a thousand years: write fewer days"));
    }
    Ok(idle)
}

/// How long a user's conversations are kept, in place of what the policy says of idle ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Whatever their age.
    Forever,
    /// Until they have been idle for so many days.
    Days(u32),
}

impl Keep {
    /// The most days: a hundred years, as in the configuration.
    pub const MAX_DAYS: u32 = 36_500;

    /// For `days` days, 1 to [`MAX_DAYS`](Self::MAX_DAYS).
    pub fn days(days: u32) -> Result<Self, RepositoryError> {
        if (1..=Self::MAX_DAYS).contains(&days) {
            Ok(Self::Days(days))
        } else {
            let reason = format!("write days from 1 to {}, or forever", Self::MAX_DAYS);
            Err(RepositoryError::invalid("/days", reason))
        }
    }

    /// The number of days; `None`: for ever.
    #[must_use]
    pub const fn as_days(self) -> Option<u32> {
        match self {
            Self::Forever => None,
            Self::Days(days) => Some(days),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::Days(days) => write!(f, "{days} days"),
        }
    }
}

impl Serialize for Keep {
    /// As the number of days, or null for ever.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_days().serialize(serializer)
    }
}

/// A user's own retention, to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRetentionOverride {
    /// Whose conversations.
    pub user_id: UserId,
    /// How long they are kept.
    pub keep: Keep,
    /// Who says so.
    pub set_by: Actor,
}

/// A user's own retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionOverride {
    /// Whose conversations.
    pub user_id: UserId,
    /// How many days they may be idle; null: for ever.
    #[serde(rename = "days")]
    pub keep: Keep,
    /// Who said so.
    pub set_by: String,
    /// When.
    pub set_at: DateTime<Utc>,
}

/// What there is beside the policy that says how long a user's conversations are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The user's own retention.
    pub own: Option<Keep>,
    /// Those of the conversations asked for that a hold is on.
    pub held: Vec<ConversationId>,
    /// Those that came back from an archive, and until when they are kept for that, at least.
    pub restored: Vec<(ConversationId, DateTime<Utc>)>,
}

/// Why a conversation's rows were removed: what its tombstone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeReason {
    /// It had been idle longer than the policy allows.
    Expired,
    /// Its user had deleted it.
    Deleted,
    /// Its user had everything erased.
    Erased,
}

impl PurgeReason {
    /// The word for this reason in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Erased => "erased",
        }
    }
}

/// A text that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known reason")]
pub struct UnknownReason;

impl FromStr for PurgeReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let all = [Self::Expired, Self::Deleted, Self::Erased];
        all.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

impl fmt::Display for PurgeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A conversation whose rows were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PurgedConversation {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it was.
    pub user_id: UserId,
    /// The agent that spoke in it.
    pub agent_id: AgentId,
    /// Why it was removed.
    pub reason: PurgeReason,
}

/// What one batch of purging did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PurgeReport {
    /// What was removed, each with its turns, its agent's state and its requests. Fewer than the batch's limit: for
    /// now there is no more that is not locked by somebody else.
    pub purged: Vec<PurgedConversation>,
    /// Whether as many others were purging as may at once, so that nothing more was done here.
    pub busy: bool,
}
