//! Pages: keyset pages of conversations, and pages of turns from either end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lcs_domain::{
    Conversation, ConversationCursor, ConversationId, ConversationPage, ConversationStatus,
    ListConversations, PageLimit, TurnRange,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, policy};

async fn page(client: &Client, after: Option<ConversationCursor>, limit: u32) -> ConversationPage {
    let limit = PageLimit::new(limit).expect("a page size");
    let list = ListConversations { after, limit, status: None };
    client.store.conversations().list(client.user_id, list).await.expect("conversations are listed")
}

fn ids(conversations: &[Conversation]) -> Vec<ConversationId> {
    conversations.iter().map(|conversation| conversation.conversation_id).collect()
}

/// Pages of every size put together are the whole list, newest first, each conversation once; only the
/// last page has nothing behind it.
pub async fn pages_of_every_size_make_the_list(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for _ in 0..7 {
        client.begin().await;
    }
    let whole = page(&client, None, 200).await;
    assert_eq!((whole.conversations.len(), whole.next, whole.durability), (7, None, harness.durability()));
    let newest_first = whole.conversations.is_sorted_by(|a, b| {
        a.updated_at > b.updated_at || a.updated_at == b.updated_at && a.conversation_id < b.conversation_id
    });
    assert!(newest_first, "newest first");
    for limit in 1..=8 {
        let (mut after, mut all) = (None, Vec::new());
        for number in 0..7_u32.div_ceil(limit) {
            let page = page(&client, after, limit).await;
            assert!(page.conversations.len() <= limit as usize, "at most {limit}");
            all.extend(page.conversations);
            let last = (number + 1) * limit >= 7;
            assert_eq!(page.next.is_none(), last, "page {number} of {limit}: whether it is the last");
            // A cursor goes to the caller as text, and comes back as text.
            after = page.next.map(|cursor| cursor.to_string().parse().expect("a cursor is read again"));
        }
        assert_eq!(ids(&all), ids(&whole.conversations), "pages of {limit}");
    }
    assert_eq!(page(&client.somebody_else(), None, 1).await.conversations, []);
}

/// Conversations of the same microsecond are told apart by their ids, also at the edge of a page.
pub async fn equal_times_are_ordered_by_id(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.begin().await);
    }
    // Each is moved back to the time of the first.
    for conversation in &made[1..] {
        let later =
            (conversation.updated_at - made[0].updated_at).to_std().expect("made one after the other");
        harness.age(conversation.conversation_id, later).await;
    }
    let whole = page(&client, None, 200).await.conversations;
    assert!(whole.iter().all(|found| found.updated_at == made[0].updated_at), "all of one microsecond");
    let mut expected = ids(&made);
    expected.sort_unstable();
    assert_eq!(ids(&whole), expected, "by id, rising");
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = page(&client, after, 2).await;
        all.extend(page.conversations);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids(&all), expected, "in pages of two");
}

/// While conversations are inserted, pages show each of those that were there exactly once.
pub async fn pages_are_complete_while_rows_are_inserted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let writer = client.at_another_handle(harness).await;
    let mut there = Vec::new();
    for _ in 0..40 {
        there.push(client.begin().await);
    }
    let done = Arc::new(AtomicBool::new(false));
    let inserting = {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            // Bounded, so that a list does not grow faster than it is read.
            for _ in 0..300 {
                writer.begin().await;
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
        })
    };
    for limit in [1, 3, 7, 40] {
        let mut seen: HashMap<ConversationId, usize> = HashMap::new();
        let mut after = None;
        loop {
            let page = page(&client, after, limit).await;
            for found in page.conversations {
                *seen.entry(found.conversation_id).or_default() += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for conversation in &there {
            let times = seen.get(&conversation.conversation_id);
            assert_eq!(times, Some(&1), "each is seen once, in pages of {limit}");
        }
        assert!(seen.values().all(|times| *times == 1), "nothing is seen twice");
    }
    done.store(true, Ordering::SeqCst);
    inserting.await.expect("the inserts");
}

/// A cursor outlives the conversation that it was made from, and a change of it.
pub async fn a_cursor_outlives_its_conversation(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (oldest, middle, _newest) = (client.begin().await, client.begin().await, client.begin().await);
    let after = Some(ConversationCursor::behind(&middle));
    assert_eq!(ids(&page(&client, after, 5).await.conversations), [oldest.conversation_id]);
    client.say(&middle, "moved to the front").await;
    assert_eq!(ids(&page(&client, after, 5).await.conversations), [oldest.conversation_id], "moved");
    client.delete(&middle).await;
    assert_eq!(ids(&page(&client, after, 5).await.conversations), [oldest.conversation_id], "deleted");
    client.purge(policy()).await;
    assert_eq!(ids(&page(&client, after, 5).await.conversations), [oldest.conversation_id], "purged");
}

/// What was changed last comes first.
pub async fn activity_moves_to_the_front(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (first, second, third) = (client.begin().await, client.begin().await, client.begin().await);
    for (conversation, days) in [(&first, 3), (&second, 2), (&third, 1)] {
        harness.age(conversation.conversation_id, Duration::from_hours(24 * days)).await;
    }
    let listed = || async { ids(&page(&client, None, 10).await.conversations) };
    let [a, b, c] = [&first, &second, &third].map(|conversation| conversation.conversation_id);
    assert_eq!(listed().await, [c, b, a]);
    client.say(&first, "hello").await;
    assert_eq!(listed().await, [a, c, b], "an append");
    client.save(super::fixture::saving(&second, "1", 0)).await.expect("a state is saved");
    assert_eq!(listed().await, [b, a, c], "a save");
    harness.age(a, LONG_AGO).await;
    assert_eq!(listed().await, [b, c, a]);
}

/// A filter by status pages like the whole list.
pub async fn a_filtered_list_has_pages_too(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut archived = Vec::new();
    for i in 0..9 {
        let conversation = client.begin().await;
        match i % 3 {
            0 => archived.push(client.archive(&conversation).await.conversation_id),
            1 => drop(client.delete(&conversation).await),
            _ => {}
        }
    }
    archived.reverse();
    for limit in 1..=4 {
        let list = ListConversations {
            limit: PageLimit::new(limit).expect("a page size"),
            status: Some(ConversationStatus::Archived),
            after: None,
        };
        assert_eq!(ids(&client.list(list).await), archived, "in pages of {limit}");
    }
}

/// Turn pages from every place, in every direction, of every size, are the turns that stand there.
pub async fn turn_pages_show_what_stands_there(harness: &dyn Harness) {
    const TURNS: u32 = 5;
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let empty = client.page(&conversation, TurnRange::Newest, 1).await.expect("an empty conversation's page");
    assert_eq!((empty.turns, empty.turn_count, empty.durability), (vec![], 0, harness.durability()));
    for range in [TurnRange::After(0), TurnRange::Before(1), TurnRange::Before(0), TurnRange::After(3)] {
        let empty = client.page(&conversation, range, 1).await.expect("an empty conversation's page");
        assert_eq!((empty.turns, empty.turn_count), (vec![], 0), "{range:?}");
    }
    for number in 1..=TURNS {
        client.say(&conversation, &number.to_string()).await;
    }
    let mut ranges = vec![TurnRange::Newest, TurnRange::After(u32::MAX), TurnRange::Before(u32::MAX)];
    for number in 0..=TURNS + 2 {
        ranges.extend([TurnRange::After(number), TurnRange::Before(number)]);
    }
    for range in ranges {
        for limit in [1, 2, TURNS - 1, TURNS, TURNS + 1, 200] {
            let all = 1..=TURNS;
            let size = limit as usize;
            let expected: Vec<u32> = match range {
                TurnRange::After(after) => all.filter(|number| *number > after).take(size).collect(),
                TurnRange::Before(_) | TurnRange::Newest => {
                    let before = if let TurnRange::Before(before) = range { before } else { u32::MAX };
                    let mut last: Vec<u32> = all.rev().filter(|number| *number < before).take(size).collect();
                    last.reverse();
                    last
                }
            };
            let page = client.page(&conversation, range, limit).await.expect("a page");
            let numbers: Vec<u32> = page.turns.iter().map(|turn| turn.turn_number).collect();
            assert_eq!(numbers, expected, "{range:?}, at most {limit}");
            assert_eq!(page.turn_count, TURNS, "{range:?}, at most {limit}: the head");
            let texts: Vec<String> =
                page.turns.iter().map(|turn| turn.input_messages.as_json().to_owned()).collect();
            let said: Vec<String> = numbers.iter().map(|number| format!("[\"{number}\"]")).collect();
            assert_eq!(texts, said, "{range:?}, at most {limit}: what was said");
        }
    }
}
