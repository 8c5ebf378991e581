//! What the journal promises its writer: the port, on a file.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use lcs_domain::journal::{ConflictResolution, JournalKind, JournalOperation, JournalStatus, UpdateBase};
use lcs_domain::*;
use lcs_storage::journal::JournalLimits;
use lcs_storage::sqlite::{JournalSlot, SqliteJournal};

use crate::support::*;

pub(crate) async fn journal(place: &Place) -> SqliteJournal {
    SqliteJournal::open(place.folder(), JournalLimits::default(), clock()).await.unwrap()
}

pub(crate) fn appending() -> JournalOperation {
    JournalOperation::Append(AppendTurn {
        conversation_id: ConversationId::generate(),
        turn: turn("hello\0"),
        expected_turn_count: Some(3),
        agent_state: Some(AgentStateUpdate {
            agent_id: AgentId::generate(),
            agent_config: Some(Payload::parse("{}").unwrap()),
            current_state: Payload::parse(r#"{"turns":1}"#).unwrap(),
            expected_revision: 7,
        }),
    })
}

async fn sequences(journal: &SqliteJournal) -> Vec<u64> {
    let entries = journal.pending(0, PageLimit::MAX).await.unwrap();
    entries.into_iter().map(|entry| entry.sequence).collect()
}

#[tokio::test]
async fn what_is_recorded_comes_back_in_order_also_in_another_process() {
    let place = Place::new();
    let first = journal(&place).await;
    let mut recorded = Vec::new();
    let operations = [
        JournalOperation::Create(new_conversation()),
        appending(),
        JournalOperation::Update {
            conversation_id: ConversationId::generate(),
            update: ConversationUpdate { topic_summary: Some(None), ..ConversationUpdate::default() },
            base: UpdateBase::default(),
        },
    ];
    for operation in operations {
        let entry = first.record(user(), operation.clone()).await.unwrap();
        assert_eq!((entry.user_id, &entry.operation), (user(), &operation));
        recorded.push(entry);
    }
    assert!(recorded.is_sorted_by(|one, other| one.sequence < other.sequence));
    assert_eq!(first.pending(0, PageLimit::MAX).await.unwrap(), recorded);
    let one = PageLimit::new(1).unwrap();
    assert_eq!(first.pending(recorded[0].sequence, one).await.unwrap(), recorded[1..2]);
    let status = first.status().await.unwrap();
    assert_eq!((status.entries, status.conflicts, status.oldest), (3, 0, Some(recorded[0].recorded_at)));
    assert!(status.bytes > 100, "{}", status.bytes);

    drop(first);
    let second = journal(&place).await;
    assert_eq!(second.pending(0, PageLimit::MAX).await.unwrap(), recorded);
    assert_eq!(second.status().await.unwrap(), status);
}

#[tokio::test]
async fn a_number_is_never_used_twice() {
    let place = Place::new();
    let mut last = 0;
    for _ in 0..3 {
        let journal = journal(&place).await;
        let entry = journal.record(user(), appending()).await.unwrap();
        assert!(entry.sequence > last);
        last = entry.sequence;
        journal.settle(&[last, last, last + 1_000, u64::MAX]).await.unwrap();
        assert_eq!(journal.status().await.unwrap(), JournalStatus::default());
    }
}

#[tokio::test]
async fn a_refused_entry_is_a_conflict_until_it_is_decided() {
    let place = Place::new();
    let journal = journal(&place).await;
    let entry = journal.record(user(), appending()).await.unwrap();
    let other = journal.record(user(), appending()).await.unwrap();
    journal.refuse(entry.sequence, "conversation not found").await.unwrap();
    // Again, as after a crash, and of what never was.
    journal.refuse(entry.sequence, "another reason").await.unwrap();
    journal.refuse(999, "no such entry").await.unwrap();
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap(), std::slice::from_ref(&other));
    let conflicts = journal.conflicts(0, PageLimit::MAX).await.unwrap();
    assert_eq!((&conflicts[0].entry, conflicts[0].reason.as_str()), (&entry, "conversation not found"));
    assert_eq!(conflicts.len(), 1);
    assert!(journal.conflicts(entry.sequence, PageLimit::MAX).await.unwrap().is_empty());

    assert!(!journal.resolve(other.sequence, ConflictResolution::Discard).await.unwrap());
    assert!(journal.resolve(entry.sequence, ConflictResolution::Retry).await.unwrap());
    assert!(!journal.resolve(entry.sequence, ConflictResolution::Retry).await.unwrap());
    let pending = journal.pending(0, PageLimit::MAX).await.unwrap();
    assert_eq!(
        pending.iter().map(|entry| &entry.operation).collect::<Vec<_>>(),
        [&other.operation, &entry.operation]
    );
    let again = pending[1].sequence;
    assert!(again > other.sequence);
    journal.refuse(again, "conversation not found").await.unwrap();
    assert!(journal.resolve(again, ConflictResolution::Discard).await.unwrap());
    assert_eq!(sequences(&journal).await, [other.sequence]);
    let status = journal.status().await.unwrap();
    assert_eq!((status.entries, status.conflicts), (1, 0));
}

#[tokio::test]
async fn a_refused_agent_state_is_a_conflict_of_its_own_and_its_turn_stays() {
    let place = Place::new();
    let journal = journal(&place).await;
    let entry = journal.record(user(), appending()).await.unwrap();
    let before = journal.status().await.unwrap();
    journal.refuse_agent_state(entry.sequence, "the agent state has changed").await.unwrap();
    journal.refuse_agent_state(entry.sequence, "again").await.unwrap();
    journal.refuse_agent_state(999, "no such entry").await.unwrap();

    let JournalOperation::Append(mut append) = entry.operation else { unreachable!() };
    let state = append.agent_state.take().unwrap();
    let pending = journal.pending(0, PageLimit::MAX).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].sequence, pending[0].recorded_at), (entry.sequence, entry.recorded_at));
    assert_eq!(pending[0].operation, JournalOperation::Append(append));
    let conflicts = journal.conflicts(0, PageLimit::MAX).await.unwrap();
    assert_eq!(conflicts.len(), 1);
    assert!(conflicts[0].entry.sequence > entry.sequence);
    let JournalOperation::Save(save) = &conflicts[0].entry.operation else { panic!("not a save") };
    assert_eq!(save.current_state.as_ref(), Some(&state.current_state));
    assert_eq!((save.expected_revision, save.through_turn), (7, 3));
    let status = journal.status().await.unwrap();
    assert_eq!((status.entries, status.conflicts), (1, 1));
    assert!(status.bytes < before.bytes);
    // The numbers go on behind the conflict's.
    let next = journal.record(user(), appending()).await.unwrap();
    assert!(next.sequence > conflicts[0].entry.sequence);
}

#[tokio::test]
async fn p4_what_an_update_is_done_to_is_noted_and_forgotten_when_an_operator_tries_it_again() {
    let place = Place::new();
    let journal = journal(&place).await;
    let update = |topic| ConversationUpdate { topic_summary: Some(topic), ..ConversationUpdate::default() };
    let before = || Text::summary("before", "").unwrap();
    let operation = JournalOperation::Update {
        conversation_id: ConversationId::generate(),
        update: update(None),
        base: UpdateBase { seen: Some(update(Some(before()))), tried_on: None },
    };
    let entry = journal.record(user(), operation.clone()).await.unwrap();
    let other = journal.record(user(), appending()).await.unwrap();
    let time = clock().now();
    journal.note_tried(entry.sequence, time).await.unwrap();
    journal.note_tried(other.sequence, time).await.unwrap();
    journal.note_tried(999, time).await.unwrap();
    let pending = journal.pending(0, PageLimit::MAX).await.unwrap();
    assert_eq!(pending[1], other);
    let JournalOperation::Update { base, .. } = &pending[0].operation else { panic!("not an update") };
    assert_eq!((base.tried_on, base.seen.clone()), (Some(time), Some(update(Some(before())))));
    let bytes = journal.status().await.unwrap().bytes;
    drop(journal);
    let journal = self::journal(&place).await;
    assert_eq!(journal.status().await.unwrap().bytes, bytes, "it was counted along");

    journal.refuse(entry.sequence, "the conversation was changed meanwhile").await.unwrap();
    assert!(journal.resolve(entry.sequence, ConflictResolution::Retry).await.unwrap());
    let pending = journal.pending(other.sequence, PageLimit::MAX).await.unwrap();
    assert_eq!(pending[0].operation, operation.for_whatever_is_there());
}

#[tokio::test]
async fn a_full_journal_is_overloaded_and_keeps_what_it_has() {
    let place = Place::new();
    let full = async |limits: JournalLimits| {
        let journal = SqliteJournal::open(place.folder(), limits, clock()).await.unwrap();
        let error = journal.record(user(), appending()).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error}");
        error.to_string()
    };
    let first = journal(&place).await;
    first.record(user(), appending()).await.unwrap();
    let bytes = first.status().await.unwrap().bytes;
    drop(first);
    let limits = JournalLimits { max_entries: 1, ..JournalLimits::default() };
    assert_eq!(
        full(limits).await,
        "overloaded: the journal holds 1 entries, as many as it may: bring the database back, or raise \
         journal_max_entries"
    );
    let limits = JournalLimits { max_bytes: bytes + 1, ..JournalLimits::default() };
    let said = full(limits).await;
    assert!(said.contains("or raise journal_max_bytes"), "{said}");

    let clock = Arc::new(manual_clock());
    let limits = JournalLimits { max_age: Duration::from_hours(1), ..JournalLimits::default() };
    let aging = SqliteJournal::open(place.folder(), limits, clock.clone()).await.unwrap();
    clock.advance(Duration::from_hours(1));
    let entry = aging.record(user(), appending()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let error = aging.record(user(), appending()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "overloaded: the journal's oldest entry is 3601 seconds old, older than the 3600 that it may be: bring \
         the database back, or raise journal_max_age_seconds"
    );
    // When the oldest is settled, the next one's age counts.
    let oldest = sequences(&aging).await[0];
    aging.settle(&[oldest]).await.unwrap();
    assert_eq!(aging.status().await.unwrap().oldest, Some(entry.recorded_at));
    aging.record(user(), appending()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_told_and_an_operator_can_go_on() {
    let place = Place::new();
    let journal = journal(&place).await;
    let mut entries = Vec::new();
    for _ in 0..4 {
        entries.push(journal.record(user(), appending()).await.unwrap());
    }
    let file = journal.file().to_owned();
    let damage = |number: usize, change: &str| {
        let sequence = entries[number].sequence;
        let sql = format!("UPDATE journal_entries SET {change} WHERE sequence = {sequence}");
        raw(&file).batch_execute(&sql).unwrap();
    };
    damage(0, "operation = CAST(replace(CAST(operation AS TEXT), 'hello', 'hullo') AS BLOB)");
    damage(1, "recorded_at = recorded_at + 1");
    damage(2, "user_id = zeroblob(16)");
    for entry in &entries[..3] {
        let error = journal.pending(0, PageLimit::MAX).await.unwrap_err();
        let expected = format!(
            "inconsistent row {} in journal_entries.operation: it is not what was written: run \
             `lcs-persistence journal set-aside` with its number",
            entry.sequence
        );
        assert_eq!(error.to_string(), expected);

        let slots = JournalSlot::all(place.folder()).await.unwrap();
        let look = slots[0].look(clock()).await.unwrap();
        let lines = look.entries(0, PageLimit::MAX).await.unwrap();
        assert_eq!(lines[0].sequence, entry.sequence);
        assert!(lines[0].content.is_err());
        assert!(look.set_aside(entry.sequence).await.unwrap());
        assert!(!look.set_aside(entry.sequence).await.unwrap());
        assert!(look.set_aside(entries[3].sequence).await.is_err(), "a sound entry is not set aside");
    }
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap(), entries[3..]);
    // The process counts them, though another one has set them aside.
    let status = journal.status().await.unwrap();
    assert_eq!((status.entries, status.conflicts), (1, 3));
    assert!(journal.conflicts(0, PageLimit::new(1).unwrap()).await.unwrap().is_empty());
    let again = journal.resolve(entries[0].sequence, ConflictResolution::Retry).await.unwrap_err();
    assert!(matches!(again, RepositoryError::Inconsistent { .. }), "{again}");
    for entry in &entries[..3] {
        assert!(journal.resolve(entry.sequence, ConflictResolution::Discard).await.unwrap());
    }
    assert_eq!(journal.status().await.unwrap().conflicts, 0);
}

#[tokio::test]
async fn what_is_decided_in_another_process_is_seen_at_once() {
    let place = Place::new();
    let journal = journal(&place).await;
    let refused = [
        journal.record(user(), appending()).await.unwrap(),
        journal.record(user(), appending()).await.unwrap(),
    ];
    for entry in &refused {
        journal.refuse(entry.sequence, "the reason").await.unwrap();
    }
    let slots = JournalSlot::all(place.folder()).await.unwrap();
    assert_eq!((slots.len(), slots[0].running, slots[0].file.as_path()), (1, true, journal.file()));
    let look = slots[0].look(clock()).await.unwrap();
    let conflicts = look.conflicts(0, PageLimit::MAX).await.unwrap();
    let content = conflicts[0].line.content.clone().unwrap();
    assert_eq!((content.kind, content.user_id), (JournalKind::Append, user()));
    assert_eq!(content.conversation_id, refused[0].operation.conversation_id());
    assert_eq!(conflicts[0].reason, "the reason");

    assert!(look.resolve(refused[0].sequence, ConflictResolution::Retry).await.unwrap());
    assert!(look.resolve(refused[1].sequence, ConflictResolution::Discard).await.unwrap());
    let status = journal.status().await.unwrap();
    assert_eq!(status, look.status().await.unwrap());
    assert_eq!((status.entries, status.conflicts), (1, 0));
    assert_eq!(journal.pending(0, PageLimit::MAX).await.unwrap()[0].operation, refused[0].operation);
    // And what it writes next is counted on top of that.
    journal.record(user(), appending()).await.unwrap();
    assert_eq!(journal.status().await.unwrap(), look.status().await.unwrap());
}
