//! What a store says of how much there is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lcs_domain::agent::Usage;
use lcs_domain::analytics::{Distribution, FORECAST_DAYS, ModelFigures};
use lcs_domain::metadata::Mark;
use lcs_domain::{
    Analytics, AnalyticsWindow, Clock as _, Conversation, ConversationStatus, Metadata, NewTurn, SystemClock,
    TurnId,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, append, json, policy};

const DAY: Duration = Duration::from_hours(24);

async fn analyze(client: &Client) -> Analytics {
    let window = AnalyticsWindow::of_days(30).expect("a window");
    client.store.analytics().analyze(window, policy()).await.expect("a store is analysed")
}

/// Appends a turn that ended at `at`, took `latency_ms`, and has these notes beside it.
async fn say(
    client: &Client,
    conversation: &Conversation,
    at: DateTime<Utc>,
    latency_ms: i64,
    metadata: Metadata,
) {
    let began = at - TimeDelta::milliseconds(latency_ms);
    let turn = NewTurn::new(TurnId::generate(), json("\"canary\""), None, began, at, metadata);
    client.append(append(conversation, turn.expect("a turn"))).await.expect("a turn is appended");
}

fn usage(model: &str, input: u64, output: u64) -> Metadata {
    let usage = Usage {
        model: Some(model.into()),
        provider: Some("a-provider".into()),
        input_tokens: Some(input),
        output_tokens: Some(output),
    };
    Metadata::default().noted(usage.notes()).expect("metadata")
}

/// An empty store has figures too: zeros, and a day for each day of the window.
pub async fn an_empty_store_has_figures_of_nothing(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let found = analyze(&client).await;
    assert_eq!(found.conversations.looked_at.rows, 0);
    assert_eq!((found.conversations.messages, found.turns.latency_ms), (None, None));
    assert_eq!((found.turns.total, found.users.total, found.retention.due_now), (0, 0, 0));
    assert_eq!((found.days.len(), found.retention.days.len()), (30, FORECAST_DAYS as usize));
    assert!(found.models.is_empty() && found.largest.is_empty());
    assert!(found.days.is_sorted_by_key(|day| day.date), "the first day first");
    assert_eq!(found.since.date_naive(), found.days[0].date);
}

/// The figures are those of the rows, of all users, on every store the same.
pub async fn the_figures_are_those_of_the_rows(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let now = SystemClock.now();
    let (one, two, archived) = (client.begin().await, client.begin().await, client.begin().await);
    let (theirs, deleted, idle) = (somebody.begin().await, somebody.begin().await, client.begin().await);
    // An answer a millisecond for each of a hundred turns, of which the last two are another conversation's.
    for latency_ms in 1..=98 {
        say(&client, &one, now, latency_ms, usage("a-model", 10, 1)).await;
    }
    say(&client, &two, now, 99, Metadata::default().marked(Mark::Interrupted).expect("metadata")).await;
    say(&somebody, &theirs, now, 100, usage("b-model", 7, 5).marked(Mark::Late).expect("metadata")).await;
    // What happened before the window counts as stored, and no more.
    say(&client, &two, now - TimeDelta::days(60), 1_000_000, usage("c-model", 1_000, 1_000)).await;
    client.archive(&archived).await;
    somebody.delete(&deleted).await;
    harness.age(idle.conversation_id, LONG_AGO).await;

    let found = analyze(&client).await;
    let conversations = &found.conversations;
    assert_eq!((conversations.looked_at.rows, conversations.looked_at.is_sample()), (6, false));
    assert_eq!((conversations.active, conversations.archived, conversations.deleted), (4, 1, 1));
    assert_eq!(conversations.begun, 6);
    // Of 98, 2, 1 and 0 turns: what is deleted or idle is left out.
    let messages = Distribution { mean: 101.0 / 4.0, p50: 1, p95: 98, max: 98 };
    assert_eq!(conversations.messages, Some(messages));

    let turns = &found.turns;
    assert_eq!((turns.total, turns.in_window), (101, 100));
    assert_eq!(turns.latency_ms, Some(Distribution { mean: 50.5, p50: 50, p95: 95, max: 100 }));
    assert_eq!((turns.input_tokens, turns.output_tokens), (987, 103));
    assert_eq!((turns.interrupted, turns.interleaved, turns.late), (1, 0, 1));

    assert_eq!((found.users.total, found.users.active, found.users.at_least), (2, 2, false));
    let model = |model: Option<&str>, turns, input_tokens, output_tokens| ModelFigures {
        provider: model.map(|_| "a-provider".into()),
        model: model.map(str::to_owned),
        turns,
        input_tokens,
        output_tokens,
    };
    let models = [model(Some("a-model"), 98, 980, 98), model(None, 1, 0, 0), model(Some("b-model"), 1, 7, 5)];
    assert_eq!(found.models, models);
    let largest: Vec<_> = found.largest.iter().map(|large| (large.conversation_id, large.turns)).collect();
    assert_eq!(
        largest[..3],
        [(one.conversation_id, 98), (two.conversation_id, 2), (theirs.conversation_id, 1)]
    );
    assert_eq!(largest.len(), 5, "the deleted one is none of them");
    assert_eq!(found.largest[2].user_id, somebody.user_id);

    // Midnight may pass while this runs: the days' sums are what must be.
    let sums = found.days.iter().fold((0, 0), |sum, day| (sum.0 + day.conversations, sum.1 + day.turns));
    assert_eq!(sums, (6, 100));
}

/// A forecast says when what is there now will have been idle long enough.
pub async fn a_forecast_says_what_will_be_due(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (due, deleted, soon, later) =
        (client.begin().await, client.begin().await, client.begin().await, client.begin().await);
    client.delete(&deleted).await;
    let in_days = |days| policy().idle(ConversationStatus::Active).saturating_sub(days * DAY);
    harness.age(due.conversation_id, in_days(0) + DAY).await;
    harness.age(soon.conversation_id, in_days(10)).await;
    harness.age(later.conversation_id, in_days(40)).await;
    let found = analyze(&client).await;
    assert_eq!(found.retention.due_now, 2, "what is idle long enough, and what was deleted");
    let ahead: Vec<_> = found.retention.days.iter().filter(|day| day.conversations > 0).collect();
    assert_eq!(ahead.len(), 1, "{ahead:?}");
    let days = ahead[0].date.signed_duration_since(found.at.date_naive()).num_days();
    assert_eq!((days, ahead[0].conversations), (10, 1));
    assert_eq!(found.conversations.messages, None, "nothing but the deleted one changed in the window");
    assert_eq!(found.users.active, 1);
}

/// Looking changes nothing, and wakes nothing up.
pub async fn looking_at_figures_changes_nothing(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    say(&client, &conversation, SystemClock.now(), 1, Metadata::default()).await;
    harness.age(conversation.conversation_id, LONG_AGO).await;
    let before = client.get(&conversation).await;
    let first = analyze(&client).await;
    client.store.analytics().database_status().await.expect("a database's status");
    let second = analyze(&client).await;
    assert_eq!(Analytics { at: first.at, ..second }, first);
    assert_eq!(client.get(&conversation).await, before);
    assert_eq!(client.purge(policy()).await.len(), 1, "it was only looked at");
}

/// What a store says of its tables and indexes adds up, and holds no content.
pub async fn a_databases_status_adds_up(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    say(&client, &conversation, SystemClock.now(), 1, usage("canary", 1, 1)).await;
    let found = client.store.analytics().database_status().await.expect("a database's status");
    assert_eq!(found.backend, client.store.capabilities().backend);
    let of_tables: u64 = found.tables.iter().map(|table| table.total_bytes).sum();
    assert!(found.bytes.is_none_or(|bytes| of_tables <= bytes), "{found:?}");
    for table in &found.tables {
        assert!(
            table.row_bytes + table.long_value_bytes + table.index_bytes <= table.total_bytes,
            "{table:?}"
        );
    }
    for index in &found.indexes {
        assert!(found.tables.iter().any(|table| table.name == index.table), "{index:?}");
    }
    assert!(found.tables.is_sorted_by(|a, b| a.total_bytes >= b.total_bytes), "the largest first");
    let mut checks: Vec<_> = found.findings().into_iter().map(|finding| finding.check).collect();
    let count = checks.len();
    checks.dedup();
    assert_eq!(checks.len(), count, "one finding for each check");
    assert!(!format!("{found:?}").contains("canary"), "no content");
}
