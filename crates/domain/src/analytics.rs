//! What an operator wants to know of a store at a glance: how much there is, how it grows, how fast it answers.
//!
//! Every figure is made of ids, times, counts and the system's own notes beside turns: never of what was said. A
//! store looks at a bounded part of its rows. Where that is not all of them the figures are estimates, and
//! [`LookedAt`] says so.

mod tally;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::Serialize;

pub use self::tally::{ConversationFact, Tally, TurnFact};
use crate::{ConversationId, ConversationStatus, RepositoryError, RetentionPolicy, UserId};

/// How many of the largest conversations are named.
pub const LARGEST: usize = 10;
/// How many models are named; those with the most turns come first.
pub const MODELS: usize = 20;
/// How many days ahead the retention is foretold, today included.
pub const FORECAST_DAYS: u32 = 30;

/// The time that is looked back at: whole days in UTC, of which the last is today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalyticsWindow {
    days: u32,
}

impl Default for AnalyticsWindow {
    fn default() -> Self {
        Self { days: 30 }
    }
}

impl AnalyticsWindow {
    /// The most days that can be looked back at.
    pub const MAX_DAYS: u32 = 366;

    /// The last `days` days, from 1 to [`MAX_DAYS`](Self::MAX_DAYS).
    pub fn of_days(days: u32) -> Result<Self, RepositoryError> {
        if (1..=Self::MAX_DAYS).contains(&days) {
            return Ok(Self { days });
        }
        let reason = format!("{days} is out of range: write 1 to {} days", Self::MAX_DAYS);
        Err(RepositoryError::invalid("/days", reason))
    }

    /// How many days it has.
    #[must_use]
    pub const fn days(self) -> u32 {
        self.days
    }

    /// The first of its days, where `now` is in the last one.
    #[must_use]
    pub fn first_day(self, now: DateTime<Utc>) -> NaiveDate {
        let today = now.date_naive();
        today.checked_sub_days(Days::new(u64::from(self.days) - 1)).unwrap_or(today)
    }

    /// When it begins, where `now` is in its last day.
    #[must_use]
    pub fn since(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.first_day(now).and_time(NaiveTime::MIN).and_utc()
    }

    /// When its last day ends. Turns have their caller's times, and callers' clocks may be a little ahead.
    #[must_use]
    pub fn until(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let tomorrow = now.date_naive().checked_add_days(Days::new(1));
        tomorrow.map_or(now, |tomorrow| tomorrow.and_time(NaiveTime::MIN).and_utc())
    }

    /// Each of its days, with as many conversations and turns as `of` says.
    pub fn each_day(self, now: DateTime<Utc>, of: impl Fn(NaiveDate) -> (u64, u64)) -> Vec<DayFigures> {
        let dates = days_from(self.first_day(now), self.days).map(|date| (date, of(date)));
        dates.map(|(date, (conversations, turns))| DayFigures { date, conversations, turns }).collect()
    }
}

fn days_from(first: NaiveDate, count: u32) -> impl Iterator<Item = NaiveDate> {
    (0..count).filter_map(move |day| first.checked_add_days(Days::new(day.into())))
}

/// How many rows of a table were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LookedAt {
    /// How many rows that were.
    pub rows: u64,
    /// Which share of the table, above 0 and up to 1. Below 1 counts are scaled up: estimates.
    pub share: f64,
}

impl LookedAt {
    /// All rows of a table.
    #[must_use]
    pub const fn all(rows: u64) -> Self {
        Self { rows, share: 1.0 }
    }

    /// Whether rows were left out.
    #[must_use]
    pub fn is_sample(&self) -> bool {
        self.share < 1.0
    }

    /// What `count` of the rows that were looked at means for the whole table.
    #[must_use]
    pub fn scaled(&self, count: u64) -> u64 {
        if !self.is_sample() || self.share <= 0.0 {
            return count;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate of rows: positive, and far below 2^52"
        )]
        let scaled = (count as f64 / self.share).round() as u64;
        scaled
    }
}

/// How a number is distributed over those that have it. A percentile is the smallest value that so many reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// The mean.
    pub mean: f64,
    /// Half of them have no more.
    pub p50: u64,
    /// 95 of 100 have no more.
    pub p95: u64,
    /// The most that was seen.
    pub max: u64,
}

/// What there is of conversations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationFigures {
    /// How many rows these figures are made of.
    pub looked_at: LookedAt,
    /// Those that can go on.
    pub active: u64,
    /// Those that can be read only.
    pub archived: u64,
    /// Those that their users deleted, and that are not purged yet.
    pub deleted: u64,
    /// Those that were begun in the window.
    pub begun: u64,
    /// Messages of one conversation, as LCS counts them: one for each turn. Of the conversations that changed in
    /// the window; `None` where none did.
    pub messages: Option<Distribution>,
}

/// What there is of turns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnFigures {
    /// How many rows these figures are made of.
    pub looked_at: LookedAt,
    /// All that are stored.
    pub total: u64,
    /// Those of the window. All below is of these.
    pub in_window: u64,
    /// Milliseconds from a turn's beginning to its end; `None` where there was no turn.
    pub latency_ms: Option<Distribution>,
    /// Tokens that models were given, as far as they said so.
    pub input_tokens: u64,
    /// Tokens that models answered with, as far as they said so.
    pub output_tokens: u64,
    /// Answers that were stopped or broke off before their end.
    pub interrupted: u64,
    /// Answers that were made from a state that had moved on meanwhile.
    pub interleaved: u64,
    /// Turns that came out of a journal, behind turns that came meanwhile.
    pub late: u64,
}

/// What there is of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UserFigures {
    /// Users who have conversations.
    pub total: u64,
    /// Those of whose conversations one changed in the window.
    pub active: u64,
    /// Whether there are more than were counted: both numbers are then lower bounds.
    pub at_least: bool,
}

/// One day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DayFigures {
    /// The day.
    pub date: NaiveDate,
    /// Conversations that were begun on it, and are still there.
    pub conversations: u64,
    /// Turns that ended on it, and are still there.
    pub turns: u64,
}

/// What one model did in the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelFigures {
    /// Whose model it is; `None` where nothing is noted of it.
    pub provider: Option<String>,
    /// The model; `None`: the turns of which nothing is noted.
    pub model: Option<String>,
    /// Turns that it answered.
    pub turns: u64,
    /// Tokens that it was given.
    pub input_tokens: u64,
    /// Tokens that it answered with.
    pub output_tokens: u64,
}

impl ModelFigures {
    /// Those with the most turns first, and of as many turns by their names.
    pub fn sort(models: &mut [Self]) {
        models.sort_by(|a, b| {
            b.turns.cmp(&a.turns).then_with(|| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)))
        });
    }
}

/// A conversation with many turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LargeConversation {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// How many turns it has.
    pub turns: u32,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// One day of the forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DueDay {
    /// The day, in UTC.
    pub date: NaiveDate,
    /// How many conversations will have been idle long enough on it, unless they wake up before.
    pub conversations: u64,
}

/// What the retention will find, by the policy for each status: users' own retention and legal holds, which keep more or
/// less, are not looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetentionForecast {
    /// How long an active conversation may be idle, in seconds.
    pub idle_seconds: f64,
    /// Conversations that may go now, the deleted ones included.
    pub due_now: u64,
    /// The next [`FORECAST_DAYS`] days, today first.
    pub days: Vec<DueDay>,
}

impl RetentionForecast {
    /// What `policy` will find after `now`, with as many conversations on each day as `of` says.
    pub fn new(
        policy: RetentionPolicy,
        now: DateTime<Utc>,
        due_now: u64,
        of: impl Fn(NaiveDate) -> u64,
    ) -> Self {
        let days = days_from(now.date_naive(), FORECAST_DAYS);
        let days = days.map(|date| DueDay { date, conversations: of(date) }).collect();
        Self { idle_seconds: policy.idle(ConversationStatus::Active).as_secs_f64(), due_now, days }
    }
}

/// What there is, and what happened in the window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analytics {
    /// When the window begins: a day's beginning in UTC.
    pub since: DateTime<Utc>,
    /// When the store was looked at, by its own clock.
    pub at: DateTime<Utc>,
    /// The conversations.
    pub conversations: ConversationFigures,
    /// The turns.
    pub turns: TurnFigures,
    /// The users.
    pub users: UserFigures,
    /// Each day of the window, the first one first.
    pub days: Vec<DayFigures>,
    /// The models, those with the most turns first.
    pub models: Vec<ModelFigures>,
    /// The largest conversations of those that were looked at, the deleted ones not included.
    pub largest: Vec<LargeConversation>,
    /// What the retention will find.
    pub retention: RetentionForecast,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_whole_days_of_which_the_last_is_today() {
        let now: DateTime<Utc> = "2026-03-01T13:14:15Z".parse().unwrap();
        let window = AnalyticsWindow::of_days(2).unwrap();
        assert_eq!(window.since(now).to_rfc3339(), "2026-02-28T00:00:00+00:00");
        assert_eq!(window.until(now).to_rfc3339(), "2026-03-02T00:00:00+00:00");
        assert_eq!(AnalyticsWindow::of_days(1).unwrap().since(now).to_rfc3339(), "2026-03-01T00:00:00+00:00");
        for days in [0, 367, u32::MAX] {
            let error = AnalyticsWindow::of_days(days).unwrap_err().to_string();
            assert!(error.contains("write 1 to 366 days"), "{error}");
        }
    }

    #[test]
    fn counts_of_a_sample_are_scaled_up_and_those_of_all_rows_are_not() {
        assert_eq!(LookedAt::all(7).scaled(7), 7);
        let sample = LookedAt { rows: 100, share: 0.25 };
        assert!(sample.is_sample());
        assert_eq!([0, 1, 33].map(|count| sample.scaled(count)), [0, 4, 132]);
    }
}
