//! Export and import: whole conversations, as they were, once.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::metadata::Mark;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::record::Record;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};
use lcs_domain::{
    AgentId, Clock, Conversation, ConversationId, ConversationStatus, Metadata, NewConversation, NewTurn,
    PayloadLimits, Repositories, RepositoryError, SystemClock, Text, TurnId, UserId,
};

use super::Harness;
use super::fixture::{
    Client, append, beginning, json, metadata, name, policy, saving, saying, turn, with_state,
};
use crate::memory::Memory;

/// Everything that a store holds.
fn everything() -> ExportFilter {
    let statuses =
        vec![ConversationStatus::Active, ConversationStatus::Archived, ConversationStatus::Deleted];
    ExportFilter { statuses, ..ExportFilter::default() }
}

/// An export as the lines of a file.
async fn lines(store: &Arc<dyn Repositories>, filter: ExportFilter) -> Vec<String> {
    let parts: Vec<Exported> = store.transfers().export(filter).try_collect().await.expect("an export");
    parts.iter().map(|part| part.to_line().expect("a line")).collect()
}

/// The lines as they are read back.
fn read(lines: &[String]) -> Vec<IncomingConversation> {
    let mut read: Vec<IncomingConversation> = Vec::new();
    for line in lines {
        match Record::parse(line, PayloadLimits::default()).expect("a line that was written is read") {
            Record::Conversation(conversation) => read.push(IncomingConversation {
                head: IncomingHead { conversation: *conversation, agent_state: None },
                turns: Vec::new(),
            }),
            Record::AgentState(state) => {
                let last = read.last_mut().expect("a state comes behind its conversation");
                last.head.agent_state = Some(state.of_user(last.head.conversation.user_id));
            }
            Record::Turn(turn) => {
                let last = read.last_mut().expect("a turn comes behind its conversation");
                assert_eq!(turn.conversation_id, last.head.conversation.conversation_id);
                assert_eq!(turn.turn_number as usize, last.turns.len() + 1);
                last.turns.push(turn.turn);
            }
            other => panic!("no part of an export: {other:?}"),
        }
    }
    read
}

async fn import(store: &Arc<dyn Repositories>, incoming: Vec<IncomingConversation>) -> Vec<Imported> {
    store.transfers().import(incoming, TimeDelta::zero()).await.expect("an import is answered")
}

/// Why `imported` is a refusal.
fn refusal(imported: &Imported) -> String {
    match imported {
        Imported::Refused(refusal) => refusal.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A new conversation with `count` turns, as it comes from elsewhere.
pub(super) fn incoming(user_id: UserId, count: u32) -> IncomingConversation {
    let at = SystemClock.now() - TimeDelta::days(400);
    let conversation = Conversation {
        conversation_id: ConversationId::generate(),
        user_id,
        agent_id: AgentId::generate(),
        model_id: name("a-model"),
        system_prompt: None,
        created_at: at,
        updated_at: at,
        status: ConversationStatus::Active,
        metadata: Metadata::default(),
        turn_count: count,
        state_revision: 0,
        topic_summary: None,
        external_id: None,
        durability: lcs_domain::Durability::Durable,
    };
    let turns = (0..count).map(|number| turn(TurnId::generate(), &format!("turn {number}"))).collect();
    IncomingConversation { head: IncomingHead { conversation, agent_state: None }, turns }
}

/// Conversations of all kinds.
async fn fill(client: &Client) {
    let documents = [
        r#"[{"role":"user","content":"hello \u0000, \ud83d\ude00\n"}]"#,
        r#"{"bb":1,"a":[1e300,-1.5e-300,18446744073709551615,0.1,"\u2028"]}"#,
        "null",
        r#""""#,
        &format!("{}1{}", "[".repeat(64), "]".repeat(64)),
    ];
    let full = NewConversation {
        system_prompt: Some(Text::prompt("be\nbrief", "").expect("a prompt")),
        metadata: metadata(r#"{"b":{"x":[1,2.5]},"a":"é"}"#),
        topic_summary: Some(Text::summary("about \"this\"", "").expect("a summary")),
        external_id: Some(name("conv_0123")),
        ..beginning()
    };
    let full = client.create(full).await.expect("a conversation");
    let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time");
    for (number, document) in documents.iter().enumerate() {
        let marks = metadata(r#"{"n":1}"#).marked(Mark::Late).expect("a mark");
        let output = (number % 2 == 0).then(|| json(document));
        let said = NewTurn::new(TurnId::generate(), json(document), output, at, at, marks).expect("a turn");
        client.append(append(&full, said)).await.expect("a turn is appended");
    }
    for (revision, document) in (0..).zip(documents) {
        client.save(saving(&full, document, revision)).await.expect("a state is saved");
    }
    client.begin().await;
    let archived = client.begin().await;
    client.append(with_state(saying(&archived, "x"), &archived, "{}", 0)).await.expect("a turn");
    client.archive(&archived).await;
    // Its revision goes on where it has no state any more.
    let stateless = client.begin().await;
    client.append(with_state(saying(&stateless, "x"), &stateless, "{}", 0)).await.expect("a turn");
    let states = client.store.agent_states();
    assert!(states.delete(client.user_id, stateless.agent_id).await.expect("a state is deleted"));
    let deleted = client.begin().await;
    client.append(with_state(saying(&deleted, "gone"), &deleted, "{}", 0)).await.expect("a turn");
    client.delete(&deleted).await;
}

/// From this store to another, and from another to this one, byte for byte.
pub async fn what_is_exported_is_imported_as_it_was(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    fill(&client).await;
    let memory: Arc<dyn Repositories> = Arc::new(Memory::new(Arc::new(SystemClock)));
    let here = lines(&client.store, everything()).await;
    assert_eq!(here.len(), 5 + 3 + 8, "{here:#?}");
    let imported = import(&memory, read(&here)).await;
    assert_eq!(imported, vec![Imported::Stored; 5]);
    assert_eq!(lines(&memory, everything()).await, here);

    let elsewhere = Client { store: Arc::clone(&memory), user_id: UserId::generate() };
    fill(&elsewhere).await;
    let theirs = ExportFilter { user_id: Some(elsewhere.user_id), ..everything() };
    let theirs_written = lines(&memory, theirs.clone()).await;
    assert_eq!(import(&client.store, read(&theirs_written)).await, vec![Imported::Stored; 5]);
    assert_eq!(lines(&client.store, theirs).await, theirs_written);
    assert_eq!(lines(&client.store, everything()).await, lines(&memory, everything()).await);
    client.assert_sound().await;
    let all = read(&theirs_written);
    let deleted = all.iter().find(|one| one.head.conversation.status == ConversationStatus::Deleted);
    let deleted = &deleted.expect("one is deleted").head.conversation;
    let states = client.store.agent_states();
    let hidden = states.get(elsewhere.user_id, deleted.agent_id).await.expect("a look-up");
    assert_eq!(hidden, None, "P6: the state of a deleted conversation is not shown");

    // What was imported goes on, from where it had come to.
    let again = Client { store: Arc::clone(&client.store), user_id: elsewhere.user_id };
    let open = read(&theirs_written).into_iter().map(|incoming| incoming.head.conversation);
    let open = open.filter(|conversation| conversation.status == ConversationStatus::Active);
    for conversation in open {
        let said = with_state(saying(&conversation, "on"), &conversation, "9", conversation.state_revision);
        let appended = again.append(said).await.expect("it goes on");
        assert_eq!(appended.turn_number, Some(conversation.turn_count + 1));
    }
}

/// Nothing doubles, also where several send it at once.
pub async fn p1_an_import_sent_twice_stores_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let batch: Vec<_> = (0..20).map(|count| incoming(client.user_id, count % 4)).collect();
    let (one, two) = join(import(&client.store, batch.clone()), import(&other.store, batch.clone())).await;
    for (place, pair) in one.iter().zip(&two).enumerate() {
        let stored = [pair.0, pair.1].into_iter().filter(|imported| **imported == Imported::Stored).count();
        let present = [pair.0, pair.1].into_iter().filter(|imported| **imported == Imported::Present).count();
        assert_eq!((stored, present), (1, 1), "{place}: {pair:?}");
    }
    let exported = lines(&client.store, everything()).await;
    assert_eq!(import(&client.store, batch.clone()).await, vec![Imported::Present; 20]);
    // Twice in one batch is once.
    let twice = incoming(client.user_id, 2);
    let imported = import(&client.store, vec![twice.clone(), twice.clone()]).await;
    assert_eq!(imported, [Imported::Stored, Imported::Present]);
    assert_eq!(lines(&client.store, everything()).await.len(), exported.len() + 3);
    // And as it was at two times, it is what it was at the first.
    let early = incoming(client.user_id, 0);
    let mut late = early.clone();
    late.turns = vec![turn(TurnId::generate(), "one"), turn(TurnId::generate(), "two")];
    late.head.conversation.turn_count = 2;
    let imported = import(&client.store, vec![early, late]).await;
    assert_eq!(imported[0], Imported::Stored);
    assert!(refusal(&imported[1]).contains("has 0 turns where 2 come"));
    assert_eq!(lines(&client.store, everything()).await.len(), exported.len() + 4);
    client.assert_sound().await;
}

/// What is there already and has gone on is not set back.
pub async fn what_has_gone_on_stays_as_it_is(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let batch = vec![incoming(client.user_id, 2), incoming(client.user_id, 0)];
    assert_eq!(import(&client.store, batch.clone()).await, vec![Imported::Stored; 2]);
    let [one, two] = [0, 1].map(|place| batch[place].head.conversation.clone());
    client.say(&one, "on").await;
    client.archive(&two).await;
    let before = lines(&client.store, everything()).await;
    assert_eq!(import(&client.store, batch).await, vec![Imported::Continued; 2]);
    assert_eq!(lines(&client.store, everything()).await, before);
    // The other way round it is an older state that cannot be brought up to date.
    let mut longer = read(&before);
    longer.retain(|incoming| incoming.head.conversation.conversation_id == one.conversation_id);
    longer[0].turns.push(turn(TurnId::generate(), "a fourth"));
    longer[0].head.conversation.turn_count = 4;
    assert!(refusal(&import(&client.store, longer).await[0]).contains("has 3 turns where 4 come"));
}

/// An id that stands for something else here is refused, and nothing but that.
pub async fn what_is_another_conversation_here_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let there = incoming(client.user_id, 2);
    import(&client.store, vec![there.clone()]).await;
    let before = lines(&client.store, everything()).await;

    let mut other_turn = there.clone();
    other_turn.turns[1] = turn(there.turns[1].turn_id(), "something else");
    let mut other_user = there.clone();
    other_user.head.conversation.user_id = UserId::generate();
    let mut same_agent = incoming(client.user_id, 0);
    same_agent.head.conversation.agent_id = there.head.conversation.agent_id;
    let mut same_turn = incoming(client.user_id, 1);
    same_turn.turns[0] = there.turns[0].clone();
    let mut other_model = there.clone();
    other_model.head.conversation.model_id = name("another");
    let fine = incoming(client.user_id, 1);
    let batch = [other_turn, other_user, same_agent, same_turn, fine, other_model];
    let imported = import(&client.store, batch.to_vec()).await;
    let expected = [
        "its turn 2 is another",
        "is another conversation's here",
        "is another conversation's here",
        "the id of another conversation's turn",
        "",
        "its agent, model, prompt",
    ];
    for (imported, expected) in imported.iter().zip(expected) {
        match imported {
            Imported::Stored => assert_eq!(expected, "", "only one is stored"),
            other => assert!(refusal(other).contains(expected), "{other:?}"),
        }
    }
    let after = lines(&client.store, everything()).await;
    assert_eq!(after.len(), before.len() + 2);
    assert!(before.iter().all(|line| after.contains(line)));
    client.assert_sound().await;
}

/// Deleted stays deleted, before and after the purge.
pub async fn p6_what_was_deleted_is_not_imported(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let batch = vec![incoming(client.user_id, 1), incoming(client.user_id, 0)];
    import(&client.store, batch.clone()).await;
    for incoming in &batch {
        assert!(client.delete(&incoming.head.conversation).await);
    }
    for purged in [false, true] {
        if purged {
            assert_eq!(client.purge(policy()).await.len(), 2);
        }
        for imported in import(&client.store, batch.clone()).await {
            assert!(refusal(&imported).contains("what is deleted stays deleted"), "{purged}");
        }
        let turns = stream::iter(batch[0].turns.clone().into_iter().map(Ok)).boxed();
        let imported =
            client.store.transfers().import_long(batch[0].head.clone(), turns, TimeDelta::zero()).await;
        let imported = imported.expect("an import is answered");
        assert!(refusal(&imported).contains("what is deleted stays deleted"), "{purged}");
    }
    assert_eq!(client.get(&batch[0].head.conversation).await, None);
}

/// What contradicts itself is refused, and the rest of the batch is stored.
pub async fn p10_what_no_store_can_have_held_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let new = || incoming(client.user_id, 2);
    let mut miscounted = new();
    miscounted.turns.pop();
    let mut repeated = new();
    repeated.turns[1] = repeated.turns[0].clone();
    let mut foreign_state = new();
    fill(&client).await;
    let with_state = read(&lines(&client.store, everything()).await);
    let with_state = with_state.into_iter().find(|incoming| incoming.head.agent_state.is_some());
    let with_state = with_state.expect("one has a state");
    foreign_state.head.agent_state = with_state.head.agent_state.clone();
    let mut other_revision = with_state.clone();
    other_revision.head.conversation.conversation_id = ConversationId::generate();
    let mut late = with_state;
    late.head.conversation.state_revision += 1;
    let mut nameless = new();
    nameless.head.conversation.model_id = Text::from_stored(" ".to_owned());
    let mut early = new();
    early.head.conversation.created_at = DateTime::<Utc>::MIN_UTC;
    let before = lines(&client.store, everything()).await.len();
    let batch = vec![miscounted, repeated, foreign_state, other_revision, late, nameless, early, new()];
    let imported = import(&client.store, batch).await;
    let (last, refused) = imported.split_last().expect("each is answered");
    assert_eq!((refused.len(), last), (7, &Imported::Stored));
    for imported in refused {
        assert!(refusal(imported).starts_with("invalid value at /"), "{imported:?}");
    }
    assert_eq!(lines(&client.store, everything()).await.len(), before + 3);
}

/// A long conversation streams into its store, and is there when it is whole.
pub async fn a_long_conversation_is_imported_whole_or_not_at_all(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let IncomingConversation { head, turns } = incoming(client.user_id, 1_200);
    let conversation = head.conversation.clone();
    let long = async |turns: BoxStream<'static, RepositoryResult<NewTurn>>| {
        client.store.transfers().import_long(head.clone(), turns, TimeDelta::zero()).await
    };
    let some = |count: usize| stream::iter(turns.clone().into_iter().take(count).map(Ok));

    let broken = stream::iter([Err(RepositoryError::unavailable("the source is gone"))]);
    let broken = long(some(700).chain(broken).boxed()).await;
    assert!(matches!(broken, Err(RepositoryError::Unavailable { .. })), "{broken:?}");
    let unreadable = stream::iter([Err(RepositoryError::invalid("", "not JSON"))]);
    let unreadable = long(some(700).chain(unreadable).boxed()).await.expect("an answer");
    assert!(refusal(&unreadable).contains("not JSON"));
    let short = long(some(1_199).boxed()).await.expect("an answer");
    assert!(refusal(&short).contains("1199 came"), "{short:?}");
    let repeated = some(1_199).chain(some(1)).boxed();
    refusal(&long(repeated).await.expect("an answer"));
    assert_eq!(client.get(&conversation).await, None, "nothing of it is there");
    assert_eq!(lines(&client.store, everything()).await, Vec::<String>::new());

    assert_eq!(long(some(1_200).boxed()).await.expect("an answer"), Imported::Stored);
    assert_eq!(long(some(1_200).boxed()).await.expect("an answer"), Imported::Present);
    let whole = vec![IncomingConversation { head: head.clone(), turns: turns.clone() }];
    assert_eq!(import(&client.store, whole.clone()).await, [Imported::Present]);
    let exported = read(&lines(&client.store, everything()).await);
    assert_eq!(exported[0].turns, turns);
    let other = some(1_199).chain(stream::iter([Ok(turn(TurnId::generate(), "another"))])).boxed();
    assert!(refusal(&long(other).await.expect("an answer")).contains("its turn 1200 is another"));
    client.say(&conversation, "on").await;
    assert_eq!(long(some(1_200).boxed()).await.expect("an answer"), Imported::Continued);
    client.assert_sound().await;
}

/// By user, time and status.
pub async fn an_export_takes_what_the_filter_says(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    fill(&client).await;
    let stranger = client.somebody_else();
    stranger.begin().await;
    let all = read(&lines(&client.store, everything()).await);
    let mut times: Vec<_> = all.iter().map(|incoming| incoming.head.conversation.updated_at).collect();
    times.sort_unstable();
    let filters = [
        (everything(), 6),
        (ExportFilter::default(), 5),
        (ExportFilter { user_id: Some(client.user_id), ..everything() }, 5),
        (ExportFilter { user_id: Some(UserId::generate()), ..everything() }, 0),
        (ExportFilter { statuses: vec![ConversationStatus::Archived], ..everything() }, 1),
        (ExportFilter { statuses: Vec::new(), ..everything() }, 0),
        (ExportFilter { changed_from: Some(times[2]), ..everything() }, 4),
        (ExportFilter { changed_before: Some(times[2]), ..everything() }, 2),
        (ExportFilter { changed_from: Some(times[1]), changed_before: Some(times[3]), ..everything() }, 2),
    ];
    for (filter, count) in filters {
        let exported = read(&lines(&client.store, filter.clone()).await);
        assert_eq!(exported.len(), count, "{filter:?}");
        let counted = client.store.transfers().count_exported(filter.clone()).await;
        assert_eq!(counted.expect("a count"), count as u64, "{filter:?}");
        let ids: Vec<_> =
            exported.iter().map(|incoming| incoming.head.conversation.conversation_id).collect();
        assert!(ids.is_sorted());
        assert!(exported.iter().all(|incoming| filter.takes(&incoming.head.conversation)));
    }
}

/// What changes while an export is read does not change it.
pub async fn an_export_is_of_one_snapshot(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let batch: Vec<_> = (0..200).map(|count| incoming(client.user_id, count % 5)).collect();
    import(&client.store, batch.clone()).await;
    let expected = lines(&client.store, everything()).await;
    let mut parts = client.store.transfers().export(everything());
    let mut found = vec![parts.next().await.expect("a part").expect("a conversation")];
    for incoming in batch.iter().rev().step_by(3) {
        let conversation = &incoming.head.conversation;
        if conversation.turn_count == 0 {
            assert!(other.delete(conversation).await);
        } else {
            other.say(conversation, "meanwhile").await;
        }
    }
    other.purge(policy()).await;
    other.begin().await;
    found.extend(parts.try_collect::<Vec<_>>().await.expect("the rest of the export"));
    let found: Vec<_> = found.iter().map(|part| part.to_line().expect("a line")).collect();
    assert_eq!(found, expected);
}

/// An export that nobody reads to its end holds nothing back.
pub async fn an_export_that_is_left_holds_nothing_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let batch = (0..200).map(|count| incoming(client.user_id, count % 5)).collect();
    import(&client.store, batch).await;
    // More than any pool of the suite has connections.
    for read in 0..40 {
        let parts = client.store.transfers().export(everything());
        let some: Vec<_> = parts.take(read % 3).collect().await;
        assert!(some.iter().all(Result::is_ok), "{some:?}");
    }
    assert_eq!(read(&lines(&client.store, everything()).await).len(), 200);
    client.begin().await;
}

/// The time of the last change is as it is given, and never in the future.
pub async fn an_import_counts_as_no_activity_before_its_time(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let old = incoming(client.user_id, 1);
    let mut future = incoming(client.user_id, 1);
    future.head.conversation.updated_at = SystemClock.now() + TimeDelta::days(4_000);
    import(&client.store, vec![old.clone(), future.clone()]).await;
    let there = client.get(&old.head.conversation).await.expect("it is there");
    assert_eq!(there.updated_at, old.head.conversation.updated_at);
    let there = client.get(&future.head.conversation).await.expect("it is there");
    assert!(there.updated_at <= SystemClock.now() + TimeDelta::minutes(5), "{}", there.updated_at);
    assert_eq!(client.purge(policy()).await.len(), 1, "what is old by its own time may go");
}
