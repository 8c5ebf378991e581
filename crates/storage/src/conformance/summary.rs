//! Lists of summaries: whole or a part, of one snapshot, row by row.

use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::{
    AppendTurn, Conversation, ConversationCursor, ConversationSummary, ListConversations, ListSummaries,
    Metadata, NewConversation, NewTurn, TurnId,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, append, beginning, json, metadata, name, saying, to_topic};

/// More than are ever read ahead, and more than a page.
const MANY: usize = 220;

impl Client {
    async fn summaries(&self, list: ListSummaries) -> Vec<ConversationSummary> {
        let rows = self.store.conversations().summaries(self.user_id, list);
        rows.try_collect().await.expect("summaries are listed")
    }

    /// Begins `count` conversations, each with a turn where its number is odd.
    async fn begin_many(&self, count: usize) {
        for i in 0..count {
            let conversation = self.begin().await;
            if i % 2 == 1 {
                self.append(noting(&conversation, &format!(r#"{{"n":{i}}}"#))).await.expect("a turn");
            }
        }
    }
}

/// An append of a new turn with this metadata.
fn noting(conversation: &Conversation, noted: &str) -> AppendTurn {
    let at = chrono::DateTime::UNIX_EPOCH;
    let turn = NewTurn::new(TurnId::generate(), json("[]"), None, at, at, metadata(noted)).expect("a turn");
    append(conversation, turn)
}

/// What a list shows of `conversation`.
fn summary(conversation: &Conversation, last_turn: Option<Metadata>) -> ConversationSummary {
    let conversation = conversation.clone();
    ConversationSummary {
        conversation_id: conversation.conversation_id,
        external_id: conversation.external_id,
        created_at: conversation.created_at,
        updated_at: conversation.updated_at,
        status: conversation.status,
        model_id: conversation.model_id,
        turn_count: conversation.turn_count,
        last_turn,
        topic_summary: conversation.topic_summary,
    }
}

fn behind(summary: &ConversationSummary) -> ConversationCursor {
    ConversationCursor { updated_at: summary.updated_at, conversation_id: summary.conversation_id }
}

fn ids(summaries: &[ConversationSummary]) -> Vec<lcs_domain::ConversationId> {
    summaries.iter().map(|summary| summary.conversation_id).collect()
}

/// Each field is the conversation's, and the metadata is its last turn's; newest first, without the deleted
/// and those of others.
pub async fn what_is_there_is_summarised(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let new = NewConversation { external_id: Some(name("conv_0123")), ..beginning() };
    let full = client.create(new).await.expect("a new conversation is created");
    let (empty, deleted, archived, aged) =
        (client.begin().await, client.begin().await, client.begin().await, client.begin().await);
    somebody.append(noting(&somebody.begin().await, r#"{"theirs":1}"#)).await.expect("a turn");
    client.say(&deleted, "x").await;
    client.delete(&deleted).await;
    client.say(&archived, "x").await;
    client.archive(&archived).await;
    harness.age(aged.conversation_id, LONG_AGO).await;
    for noted in [r#"{"n":1}"#, r#"{"n":2,"model":"m"}"#] {
        client.append(noting(&full, noted)).await.expect("a turn is appended");
    }
    client.update(&full, to_topic("about")).await.expect("an update");

    let mut expected = Vec::new();
    let noted = Some(metadata(r#"{"n":2,"model":"m"}"#));
    for (conversation, last_turn) in
        [(&full, noted), (&archived, Some(Metadata::default())), (&empty, None), (&aged, None)]
    {
        let now = client.get(conversation).await.expect("it is there");
        expected.push(summary(&now, last_turn));
    }
    let other = client.at_another_handle(harness).await;
    for client in [&client, &other] {
        let mut found = client.summaries(ListSummaries::default()).await;
        for summary in &mut found {
            // Written in another way, it is the same document.
            summary.last_turn = summary
                .last_turn
                .take()
                .map(|last| Metadata::parse(&last.caller_json().expect("an object")).expect("metadata"));
        }
        assert_eq!(found, expected);
    }
    assert_eq!(client.somebody_else().summaries(ListSummaries::default()).await, [], "a user who has none");
}

/// Without a limit a list is whole, with one it is cut; pages make the whole list, in the order of `list`.
pub async fn a_list_is_whole_or_in_pages(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    client.begin_many(MANY).await;
    let whole = client.summaries(ListSummaries::default()).await;
    let listed = client.list(ListConversations::default()).await;
    assert_eq!(ids(&whole), listed.iter().map(|found| found.conversation_id).collect::<Vec<_>>());
    assert_eq!(whole.iter().filter(|summary| summary.last_turn.is_some()).count(), MANY / 2);
    for limit in [1, 7, 100, 1000] {
        let (mut asked, mut all) = (ListSummaries { after: None, limit: Some(limit) }, Vec::new());
        loop {
            let page = client.summaries(asked).await;
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            asked.after = Some(behind(last));
            all.extend(page);
            if limit == 1 && all.len() == 3 {
                all.extend(client.summaries(ListSummaries { limit: None, ..asked }).await);
                break;
            }
        }
        assert_eq!(all, whole, "in pages of {limit}");
    }
    assert_eq!(client.summaries(ListSummaries { after: None, limit: Some(0) }).await, []);
    let most = ListSummaries { after: None, limit: Some(u32::MAX) };
    assert_eq!(client.summaries(most).await.len(), MANY);
}

/// What changes while a list is read does not change the list.
pub async fn a_list_is_of_one_snapshot(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    client.begin_many(MANY).await;
    let expected = client.summaries(ListSummaries::default()).await;
    let mut rows = client.store.conversations().summaries(client.user_id, ListSummaries::default());
    let mut found = vec![rows.next().await.expect("a row").expect("a summary")];
    for listed in other.list(ListConversations::default()).await.iter().rev().step_by(3) {
        match listed.turn_count {
            0 => assert!(other.delete(listed).await),
            _ => drop(other.append(saying(listed, "meanwhile")).await.expect("a turn is appended")),
        }
    }
    other.begin().await;
    found.extend(rows.try_collect::<Vec<_>>().await.expect("the rest of the list"));
    assert_eq!(found, expected);
    assert_ne!(client.summaries(ListSummaries::default()).await, expected, "the next list shows it");
}

/// A list that nobody reads to its end holds nothing back.
pub async fn a_list_that_is_left_holds_nothing_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    client.begin_many(MANY).await;
    // More than any pool of the suite has connections.
    for read in 0..40 {
        let rows = client.store.conversations().summaries(client.user_id, ListSummaries::default());
        let some: Vec<_> = rows.take(read % 3).collect().await;
        assert!(some.iter().all(Result::is_ok), "{some:?}");
    }
    assert_eq!(client.summaries(ListSummaries::default()).await.len(), MANY);
    client.begin().await;
}
