//! The figures as the statements give them, on their way to the domain's.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use lcs_domain::analytics::{
    ConversationFigures, Distribution, LargeConversation, LookedAt, MODELS, ModelFigures, RetentionForecast,
    TurnFigures, UserFigures,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Analytics, AnalyticsWindow, ConversationId, RepositoryError, RetentionPolicy, UserId};
use serde::Deserialize;
use uuid::Uuid;

/// What `conversations.sql` gives.
#[derive(Deserialize)]
struct ConversationRow {
    rows: u64,
    active: u64,
    archived: u64,
    deleted: u64,
    messages: Option<DistributionRow>,
    begun: BTreeMap<NaiveDate, u64>,
    due_now: u64,
    due: BTreeMap<NaiveDate, u64>,
    largest: Vec<(Uuid, Uuid, u32, DateTime<Utc>)>,
}

/// What `turns.sql` gives.
#[derive(Deserialize)]
struct TurnRow {
    rows: u64,
    marks: [u64; 3],
    latency_ms: Option<DistributionRow>,
    ended: BTreeMap<NaiveDate, u64>,
    models: Vec<ModelRow>,
}

/// Provider, model, turns, tokens in, tokens out.
type ModelRow = (Option<String>, Option<String>, u64, u64, u64);

#[derive(Deserialize)]
struct DistributionRow {
    mean: f64,
    p50: u64,
    p95: u64,
    max: u64,
}

impl From<DistributionRow> for Distribution {
    fn from(DistributionRow { mean, p50, p95, max }: DistributionRow) -> Self {
        Self { mean, p50, p95, max }
    }
}

/// Figures of the conversations that were looked at.
pub(super) struct OfConversations {
    row: ConversationRow,
    looked_at: LookedAt,
}

impl OfConversations {
    /// Reads what the statement gave for this percentage of the table.
    pub(super) fn read(json: &str, percent: f64) -> RepositoryResult<Self> {
        let row: ConversationRow = read(json)?;
        let looked_at = LookedAt { rows: row.rows, share: percent / 100.0 };
        Ok(Self { row, looked_at })
    }
}

/// Figures of the turns that were looked at.
pub(super) struct OfTurns {
    row: TurnRow,
    looked_at: LookedAt,
}

impl OfTurns {
    /// Reads what the statement gave for this percentage of the table.
    pub(super) fn read(json: &str, percent: f64) -> RepositoryResult<Self> {
        let row: TurnRow = read(json)?;
        let looked_at = LookedAt { rows: row.rows, share: percent / 100.0 };
        Ok(Self { row, looked_at })
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> RepositoryResult<T> {
    serde_json::from_str(json).map_err(|error| RepositoryError::Backend {
        reason: "PostgreSQL gave figures of another form than was asked for".into(),
        source: Some(error.into()),
    })
}

/// The figures of both.
pub(super) fn analytics(
    window: AnalyticsWindow,
    policy: RetentionPolicy,
    now: DateTime<Utc>,
    of_conversations: OfConversations,
    of_turns: OfTurns,
    users: UserFigures,
) -> Analytics {
    let OfConversations { row: conversations, looked_at } = of_conversations;
    let OfTurns { row: turns, looked_at: looked_at_turns } = of_turns;
    let count = |counts: &BTreeMap<_, u64>, date| counts.get(&date).copied().unwrap_or_default();
    let [interrupted, interleaved, late] = turns.marks.map(|count| looked_at_turns.scaled(count));
    let models = models(turns.models, looked_at_turns);
    Analytics {
        since: window.since(now),
        at: now,
        conversations: ConversationFigures {
            looked_at,
            active: looked_at.scaled(conversations.active),
            archived: looked_at.scaled(conversations.archived),
            deleted: looked_at.scaled(conversations.deleted),
            begun: looked_at.scaled(conversations.begun.values().sum()),
            messages: conversations.messages.map(Distribution::from),
        },
        turns: TurnFigures {
            looked_at: looked_at_turns,
            total: looked_at_turns.scaled(turns.rows),
            in_window: looked_at_turns.scaled(turns.ended.values().sum()),
            latency_ms: turns.latency_ms.map(Distribution::from),
            input_tokens: models.iter().map(|model| model.input_tokens).sum(),
            output_tokens: models.iter().map(|model| model.output_tokens).sum(),
            interrupted,
            interleaved,
            late,
        },
        users,
        days: window.each_day(now, |date| {
            (
                looked_at.scaled(count(&conversations.begun, date)),
                looked_at_turns.scaled(count(&turns.ended, date)),
            )
        }),
        models: models.into_iter().take(MODELS).collect(),
        largest: conversations.largest.into_iter().map(large).collect(),
        retention: RetentionForecast::new(policy, now, looked_at.scaled(conversations.due_now), |date| {
            looked_at.scaled(count(&conversations.due, date))
        }),
    }
}

fn large(
    (conversation_id, user_id, turns, updated_at): (Uuid, Uuid, u32, DateTime<Utc>),
) -> LargeConversation {
    LargeConversation {
        conversation_id: ConversationId::from_uuid(conversation_id),
        user_id: UserId::from_uuid(user_id),
        turns,
        updated_at,
    }
}

fn models(rows: Vec<ModelRow>, looked_at: LookedAt) -> Vec<ModelFigures> {
    let of_row = |(provider, model, turns, input_tokens, output_tokens): ModelRow| ModelFigures {
        provider,
        model,
        turns: looked_at.scaled(turns),
        input_tokens: looked_at.scaled(input_tokens),
        output_tokens: looked_at.scaled(output_tokens),
    };
    let mut models: Vec<ModelFigures> = rows.into_iter().map(of_row).collect();
    ModelFigures::sort(&mut models);
    models
}
