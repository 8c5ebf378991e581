//! The audit log: what is recorded stays, in one order, and its chain shows it.

use lcs_domain::audit::{AuditBreak, AuditHead, AuditVerification, verify};
use lcs_domain::{
    Actor, AuditAction, AuditDetail, AuditOutcome, AuditQuery, AuditRecord, ConversationId, NewAuditEvent,
    PageLimit, UserId,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, at_once, policy};

async fn record(client: &Client, event: NewAuditEvent) {
    client.store.audit().record(event).await.expect("an event is recorded");
}

async fn read(client: &Client, query: AuditQuery) -> Vec<AuditRecord> {
    client.store.audit().records(query).await.expect("the log is read")
}

/// All rows, page by page.
async fn read_all(client: &Client, query: AuditQuery) -> Vec<AuditRecord> {
    let mut all: Vec<AuditRecord> = Vec::new();
    loop {
        let after = Some(all.last().map_or(0, |record| record.sequence));
        let page = read(client, AuditQuery { after, ..query }).await;
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn assert_intact(client: &Client, count: u64) -> AuditHead {
    let verification = verify(client.store.audit()).await.expect("the chain is read");
    match verification {
        AuditVerification::Intact(head) => {
            assert_eq!(head.sequence, count, "so many rows");
            head
        }
        broken @ AuditVerification::Broken { .. } => panic!("the chain holds: {broken:?}"),
    }
}

fn exported(count: u64) -> NewAuditEvent {
    NewAuditEvent {
        detail: AuditDetail::default().count("conversations", count),
        ..NewAuditEvent::done(Actor::operator("root"), AuditAction::Export)
    }
}

/// What is recorded is read back as it was, behind what was recorded before.
pub async fn what_is_recorded_is_read_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    assert_intact(&client, 0).await;
    assert_eq!(read(&client, AuditQuery::default()).await, []);
    let (user_id, conversation_id) = (UserId::generate(), ConversationId::generate());
    let events = [
        exported(3),
        NewAuditEvent {
            on_behalf_of: Some(user_id),
            conversation_id: Some(conversation_id),
            outcome: AuditOutcome::Refused,
            ..NewAuditEvent::done(Actor::user(user_id), AuditAction::AccessDenied)
        },
        NewAuditEvent {
            outcome: AuditOutcome::Failed,
            // Letters of several bytes, and what has to be escaped.
            ..NewAuditEvent::done(Actor::operator("zo\u{eb} \u{1f600} \"\\ '"), AuditAction::Import)
        },
    ];
    let mut head = AuditHead::default();
    for (event, place) in events.into_iter().zip(1..) {
        record(&client, event.clone()).await;
        let found = read(&client, AuditQuery { after: Some(head.sequence), ..AuditQuery::default() }).await;
        let found = found.first().cloned().expect("it is there");
        assert_eq!(found, event.chained(head, found.at), "place {place}");
        head = client.store.audit().chain_head().await.expect("the end is read");
        assert_eq!((head.sequence, head.hash), (place, found.hash));
    }
    assert_eq!(assert_intact(&client, 3).await, head);
    let other = client.at_another_handle(harness).await;
    assert_eq!(read(&other, AuditQuery::default()).await, read(&client, AuditQuery::default()).await);
}

/// Pages go on behind a place, the newest come where none is named, and filters hold in both.
pub async fn a_page_is_of_what_is_asked_for(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (ada, eve, about) = (UserId::generate(), UserId::generate(), ConversationId::generate());
    for place in 0..20 {
        record(
            &client,
            NewAuditEvent {
                on_behalf_of: [None, Some(ada), Some(eve)][place % 3],
                conversation_id: (place % 5 == 0).then_some(about),
                action: if place % 2 == 0 { AuditAction::Export } else { AuditAction::Import },
                ..exported(place as u64)
            },
        )
        .await;
    }
    let all = read_all(&client, AuditQuery::default()).await;
    assert_eq!(all.iter().map(|record| record.sequence).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    for limit in [1, 3, 20, 50] {
        let limit = PageLimit::new(limit).expect("a page size");
        assert_eq!(read_all(&client, AuditQuery { limit, ..AuditQuery::default() }).await, all);
        let of_it = AuditQuery { conversation_id: Some(about), limit, ..AuditQuery::default() };
        let looked = read(&client, AuditQuery { is_look: true, ..of_it }).await;
        assert_eq!(looked, read(&client, of_it).await, "a look shows the same");
        let newest = read(&client, AuditQuery { limit, ..AuditQuery::default() }).await;
        assert_eq!(newest, all[20_usize.saturating_sub(limit.get() as usize)..]);
        for query in [
            AuditQuery { user_id: Some(ada), ..AuditQuery::default() },
            AuditQuery { user_id: Some(UserId::generate()), ..AuditQuery::default() },
            AuditQuery { conversation_id: Some(about), ..AuditQuery::default() },
            AuditQuery { action: Some(AuditAction::Import), ..AuditQuery::default() },
            AuditQuery {
                user_id: Some(eve),
                conversation_id: Some(about),
                action: Some(AuditAction::Import),
                ..AuditQuery::default()
            },
        ] {
            let expected: Vec<_> = all.iter().filter(|record| query.is_about(record)).cloned().collect();
            let query = AuditQuery { limit, ..query };
            assert_eq!(read_all(&client, query).await, expected, "{query:?}");
            let newest = read(&client, query).await;
            assert!(expected.ends_with(&newest), "{query:?}: {newest:?}");
            assert_eq!(newest.len(), expected.len().min(limit.get() as usize), "{query:?}");
        }
    }
    assert_eq!(read(&client, AuditQuery { after: Some(u64::MAX), ..AuditQuery::default() }).await, []);
}

/// Whoever records at once, through whichever handle: each has a place, and the chain is one.
pub async fn all_who_record_at_once_make_one_chain(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let recorders = (0..60).map(|number| {
        let client = if number % 2 == 0 { client.clone() } else { other.clone() };
        async move {
            if number % 3 == 0 {
                let conversation = client.begin().await;
                assert!(client.delete(&conversation).await);
            } else {
                record(&client, exported(number)).await;
            }
        }
    });
    at_once(recorders).await;
    assert_intact(&client, 60).await;
    let mut exports: Vec<String> = read_all(&client, AuditQuery::default())
        .await
        .into_iter()
        .filter(|record| record.action == AuditAction::Export.as_str())
        .map(|record| record.detail.to_string())
        .collect();
    exports.sort();
    let mut expected: Vec<String> =
        (0..60).filter(|number| number % 3 != 0).map(|number| exported(number).detail.to_string()).collect();
    expected.sort();
    assert_eq!(exports, expected, "each is there once");
}

/// A user's delete is recorded once, and nothing where nothing was deleted.
pub async fn a_delete_is_recorded_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let conversation = client.begin().await;
    client.say(&conversation, "to be forgotten").await;
    assert!(!somebody.delete(&conversation).await, "it is another's");
    assert_intact(&client, 0).await;
    assert!(client.delete(&conversation).await);
    assert!(!client.delete(&conversation).await, "it is deleted");
    let found = read(&client, AuditQuery::default()).await;
    let [found] = found.as_slice() else { panic!("one row: {found:?}") };
    assert_eq!(found.actor, format!("user:{}", client.user_id));
    assert_eq!(found.on_behalf_of, Some(client.user_id));
    assert_eq!(found.conversation_id, Some(conversation.conversation_id));
    assert_eq!((found.action.as_str(), found.outcome.as_str()), ("conversation_deleted", "done"));
    assert_eq!(found.detail.as_json(), r#"{"turns":1}"#);
    assert_intact(&client, 1).await;
}

/// Each batch of a purge is one row, with how many went and which; a batch that removes nothing is none.
pub async fn a_purge_is_recorded_with_what_it_removed(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    client.purge(policy()).await;
    assert_intact(&client, 0).await;
    let (idle, deleted) = (client.begin().await, client.begin().await);
    client.say(&idle, "one").await;
    client.say(&idle, "two").await;
    harness.age(idle.conversation_id, LONG_AGO).await;
    assert!(client.delete(&deleted).await);
    assert_eq!(client.purge(policy()).await.len(), 2);
    let purges = AuditQuery { action: Some(AuditAction::Purge), ..AuditQuery::default() };
    let found = read(&client, purges).await;
    let [found] = found.as_slice() else { panic!("one row: {found:?}") };
    assert_eq!((found.actor.as_str(), found.outcome.as_str()), ("retention", "done"));
    assert_eq!((found.on_behalf_of, found.conversation_id), (None, None));
    let detail: serde_json::Value = serde_json::from_str(found.detail.as_json()).expect("an object");
    for (key, count) in [("expired", 1), ("deleted", 1), ("turns", 2)] {
        assert_eq!(detail[key], count, "{key} in {detail}");
    }
    let ids = detail["conversation_ids"].as_array().expect("ids").clone();
    assert_eq!(ids.len(), 2);
    for conversation in [&idle, &deleted] {
        assert!(ids.contains(&conversation.conversation_id.to_string().into()), "{detail}");
        let about =
            AuditQuery { conversation_id: Some(conversation.conversation_id), ..AuditQuery::default() };
        assert_eq!(read(&client, about).await.last(), Some(found), "it is found by the conversation");
    }
    assert_intact(&client, 2).await;
}

/// A row that does not follow is found, by its place: the reader is fed what no store gives.
pub async fn a_break_is_told_by_its_place(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for number in 0..5 {
        record(&client, exported(number)).await;
    }
    let all = read_all(&client, AuditQuery::default()).await;
    let end = client.store.audit().chain_head().await.expect("the end is read");
    let broken = async |change: &dyn Fn(&mut Vec<AuditRecord>)| {
        let mut records = all.clone();
        change(&mut records);
        match verify(&Tampered { records, end }).await.expect("it is read") {
            AuditVerification::Intact(_) => None,
            AuditVerification::Broken { sequence, reason } => Some((sequence, reason)),
        }
    };
    assert_eq!(broken(&|_| ()).await, None);
    assert_eq!(broken(&|records| drop(records.remove(2))).await, Some((3, AuditBreak::Missing)));
    assert_eq!(broken(&|records| drop(records.pop())).await, Some((5, AuditBreak::Missing)));
    assert_eq!(broken(&|records| records[1].actor.push('x')).await, Some((2, AuditBreak::Changed)));
    // Hashed anew, it is what its hash says; the one behind it is not any more.
    let rehashed = |records: &mut Vec<AuditRecord>| {
        records[1].actor.push('x');
        records[1].hash = records[1].computed_hash();
    };
    assert_eq!(broken(&rehashed).await, Some((3, AuditBreak::Unlinked)));
    let last = |records: &mut Vec<AuditRecord>| {
        records[4].actor.push('x');
        records[4].hash = records[4].computed_hash();
    };
    assert_eq!(broken(&last).await, Some((5, AuditBreak::OtherEnd)));
}

/// A log that somebody has been at.
struct Tampered {
    records: Vec<AuditRecord>,
    end: AuditHead,
}

#[async_trait::async_trait]
impl lcs_domain::AuditRepository for Tampered {
    async fn record(&self, _: NewAuditEvent) -> lcs_domain::repository::RepositoryResult<()> {
        Ok(())
    }

    async fn records(&self, query: AuditQuery) -> lcs_domain::repository::RepositoryResult<Vec<AuditRecord>> {
        let after = query.after.unwrap_or_default();
        Ok(self.records.iter().filter(|record| record.sequence > after).take(2).cloned().collect())
    }

    async fn chain_head(&self) -> lcs_domain::repository::RepositoryResult<AuditHead> {
        Ok(self.end)
    }
}
