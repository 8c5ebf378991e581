//! The figures of rows that a store reads one by one: what the stores that are in this process count with.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};

use super::{
    Analytics, AnalyticsWindow, ConversationFigures, Distribution, LARGEST, LargeConversation, LookedAt,
    MODELS, ModelFigures, RetentionForecast, TurnFigures, UserFigures,
};
use crate::agent::Usage;
use crate::metadata::Mark;
use crate::{ConversationId, ConversationStatus, Metadata, RetentionPolicy, UserId};

/// What is looked at of a conversation.
#[derive(Debug, Clone, Copy)]
pub struct ConversationFact {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its status.
    pub status: ConversationStatus,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How many turns it has.
    pub turn_count: u32,
}

/// What is looked at of a turn.
#[derive(Debug, Clone)]
pub struct TurnFact {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
    /// What is noted beside it.
    pub metadata: Metadata,
}

/// Figures in the making.
#[derive(Debug)]
pub struct Tally {
    window: AnalyticsWindow,
    policy: RetentionPolicy,
    now: DateTime<Utc>,
    conversations: u64,
    turns: u64,
    statuses: [u64; 3],
    begun: BTreeMap<NaiveDate, u64>,
    ended: BTreeMap<NaiveDate, u64>,
    messages: Vec<u64>,
    latencies: Vec<u64>,
    marks: [u64; 3],
    models: HashMap<(Option<String>, Option<String>), ModelFigures>,
    largest: Vec<LargeConversation>,
    due_now: u64,
    due: BTreeMap<NaiveDate, u64>,
}

const MARKS: [Mark; 3] = [Mark::Interrupted, Mark::Interleaved, Mark::Late];

impl Tally {
    /// An empty one, for rows as they are at `now`.
    #[must_use]
    pub fn new(window: AnalyticsWindow, policy: RetentionPolicy, now: DateTime<Utc>) -> Self {
        Self {
            window,
            policy,
            now,
            conversations: 0,
            turns: 0,
            statuses: [0; 3],
            begun: BTreeMap::new(),
            ended: BTreeMap::new(),
            messages: Vec::new(),
            latencies: Vec::new(),
            marks: [0; 3],
            models: HashMap::new(),
            largest: Vec::new(),
            due_now: 0,
            due: BTreeMap::new(),
        }
    }

    /// Counts a conversation.
    pub fn conversation(&mut self, fact: &ConversationFact) {
        self.conversations += 1;
        let [active, archived, deleted] = &mut self.statuses;
        *match fact.status {
            ConversationStatus::Active => active,
            ConversationStatus::Archived => archived,
            ConversationStatus::Deleted => deleted,
        } += 1;
        let since = self.window.since(self.now);
        if self.is_in_window(fact.created_at) {
            *self.begun.entry(fact.created_at.date_naive()).or_default() += 1;
        }
        if self.policy.is_due(fact.status, fact.updated_at, None, self.now) {
            self.due_now += 1;
        } else if let Some(due) = self.policy.expires_at(fact.status, fact.updated_at, None) {
            *self.due.entry(due.date_naive()).or_default() += 1;
        }
        if fact.status == ConversationStatus::Deleted {
            return;
        }
        if fact.updated_at >= since {
            self.messages.push(fact.turn_count.into());
        }
        self.largest.push(LargeConversation {
            conversation_id: fact.conversation_id,
            user_id: fact.user_id,
            turns: fact.turn_count,
            updated_at: fact.updated_at,
        });
        if self.largest.len() >= 2 * LARGEST {
            self.keep_largest();
        }
    }

    /// Counts a turn.
    pub fn turn(&mut self, fact: &TurnFact) {
        self.turns += 1;
        if !self.is_in_window(fact.completed_at) {
            return;
        }
        *self.ended.entry(fact.completed_at.date_naive()).or_default() += 1;
        let took = fact.completed_at.signed_duration_since(fact.started_at).num_milliseconds();
        self.latencies.push(u64::try_from(took).unwrap_or_default());
        let notes = fact.metadata.to_object().unwrap_or_default();
        for (count, mark) in self.marks.iter_mut().zip(MARKS) {
            *count += u64::from(notes.contains_key(mark.key()));
        }
        let key = (text(&notes, Usage::PROVIDER), text(&notes, Usage::MODEL));
        let model = self.models.entry(key).or_insert_with_key(|(provider, model)| ModelFigures {
            provider: provider.clone(),
            model: model.clone(),
            turns: 0,
            input_tokens: 0,
            output_tokens: 0,
        });
        model.turns += 1;
        model.input_tokens = model.input_tokens.saturating_add(number(&notes, Usage::INPUT_TOKENS));
        model.output_tokens = model.output_tokens.saturating_add(number(&notes, Usage::OUTPUT_TOKENS));
    }

    /// The figures: `conversations` and `turns` say which share of them was counted.
    #[must_use]
    pub fn finish(mut self, conversations: f64, turns: f64, users: UserFigures) -> Analytics {
        self.keep_largest();
        let of_conversations = LookedAt { rows: self.conversations, share: conversations };
        let of_turns = LookedAt { rows: self.turns, share: turns };
        let [active, archived, deleted] = self.statuses.map(|count| of_conversations.scaled(count));
        let [interrupted, interleaved, late] = self.marks.map(|count| of_turns.scaled(count));
        let models = models(self.models.into_values().collect(), &of_turns);
        Analytics {
            since: self.window.since(self.now),
            at: self.now,
            conversations: ConversationFigures {
                looked_at: of_conversations,
                active,
                archived,
                deleted,
                begun: of_conversations.scaled(self.begun.values().sum()),
                messages: distribution(self.messages),
            },
            turns: TurnFigures {
                looked_at: of_turns,
                total: of_turns.scaled(self.turns),
                in_window: of_turns.scaled(self.ended.values().sum()),
                input_tokens: models.iter().map(|model| model.input_tokens).sum(),
                output_tokens: models.iter().map(|model| model.output_tokens).sum(),
                latency_ms: distribution(self.latencies),
                interrupted,
                interleaved,
                late,
            },
            users,
            days: self.window.each_day(self.now, |date| {
                let of = |counts: &BTreeMap<_, u64>| counts.get(&date).copied().unwrap_or_default();
                (of_conversations.scaled(of(&self.begun)), of_turns.scaled(of(&self.ended)))
            }),
            models: models.into_iter().take(MODELS).collect(),
            largest: self.largest,
            retention: RetentionForecast::new(
                self.policy,
                self.now,
                of_conversations.scaled(self.due_now),
                |date| of_conversations.scaled(self.due.get(&date).copied().unwrap_or_default()),
            ),
        }
    }

    fn is_in_window(&self, time: DateTime<Utc>) -> bool {
        (self.window.since(self.now)..self.window.until(self.now)).contains(&time)
    }

    fn keep_largest(&mut self) {
        self.largest.sort_by_key(|large| (std::cmp::Reverse(large.turns), large.conversation_id));
        self.largest.truncate(LARGEST);
    }
}

fn text(notes: &Map<String, Value>, key: &str) -> Option<String> {
    // Longer than this is no name.
    notes.get(key)?.as_str().map(|text| text.chars().take(200).collect())
}

fn number(notes: &Map<String, Value>, key: &str) -> u64 {
    notes.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// Scaled up, and those with the most turns first.
fn models(mut models: Vec<ModelFigures>, looked_at: &LookedAt) -> Vec<ModelFigures> {
    for model in &mut models {
        model.turns = looked_at.scaled(model.turns);
        model.input_tokens = looked_at.scaled(model.input_tokens);
        model.output_tokens = looked_at.scaled(model.output_tokens);
    }
    ModelFigures::sort(&mut models);
    models
}

/// How `values` are distributed; `None` where there is none.
fn distribution(mut values: Vec<u64>) -> Option<Distribution> {
    values.sort_unstable();
    // The nearest rank: the smallest value that so many of a hundred reach.
    let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a mean is no exact number")]
    let mean = sum as f64 / values.len() as f64;
    Some(Distribution { mean, p50: rank(50)?, p95: rank(95)?, max: *values.last()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        assert_eq!(distribution(vec![]), None);
        let one = Distribution { mean: 7.0, p50: 7, p95: 7, max: 7 };
        assert_eq!(distribution(vec![7]), Some(one));
        let hundred = Distribution { mean: 50.5, p50: 50, p95: 95, max: 100 };
        assert_eq!(distribution((1..=100).rev().collect()), Some(hundred));
        let four = Distribution { mean: 2.5, p50: 2, p95: 4, max: 4 };
        assert_eq!(distribution(vec![4, 1, 3, 2]), Some(four));
    }
}
