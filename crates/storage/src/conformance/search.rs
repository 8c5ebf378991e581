//! Searching: by the words of topics and turns, whole and in any case, the user's own.

use lcs_domain::search::SEARCHED_CHARACTERS;
use lcs_domain::{
    Conversation, ConversationCursor, ConversationId, ConversationSummary, NewTurn, SearchConversations,
    TurnId,
};

use super::Harness;
use super::fixture::{Client, append, json, metadata, policy, to_topic};

impl Client {
    async fn find_page(
        &self,
        words: &str,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Vec<ConversationSummary> {
        let query = words.parse().expect("words");
        let search = SearchConversations { query, after, limit };
        self.store.conversations().search(self.user_id, search).await.expect("a search is answered")
    }

    async fn find(&self, words: &str) -> Vec<ConversationId> {
        self.find_page(words, None, 100).await.iter().map(|found| found.conversation_id).collect()
    }

    /// Appends a turn with these documents.
    async fn exchange(&self, conversation: &Conversation, input: &str, output: Option<&str>) {
        let at = chrono::DateTime::UNIX_EPOCH;
        let turn = NewTurn::new(TurnId::generate(), json(input), output.map(json), at, at, metadata("{}"));
        self.append(append(conversation, turn.expect("a turn"))).await.expect("a turn is appended");
    }
}

/// Whole words, in any case, all of them in one turn or all in the topic; and nothing but what was said.
pub async fn what_was_said_is_found_by_its_words(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let plain = client.begin().await;
    client.exchange(&plain, r#""Why does pod web-1 restart?""#, None).await;
    let listed = client.begin().await;
    let input = r#"[{"role":"user","content":"the disk is full"},{"content":[{"type":"input_text","text":"Čeština!"}]}]"#;
    let output =
        r#"{"role":"assistant","content":"delete logs","tool_calls":[{"name":"df","arguments":"canary"}]}"#;
    client.exchange(&listed, input, Some(output)).await;
    client.exchange(&listed, r#"["thanks"]"#, Some("null")).await;
    let about = client.begin().await;
    client.update(&about, to_topic("Certificates, and their EXPIRY")).await.expect("an update");
    // One that is sealed on some stores, and one with nothing to search.
    client.exchange(&about, r#"{"n":1.10,"m":[true,null,1e2]}"#, None).await;

    for (words, expected) in [
        ("restart", vec![&plain]),
        ("WEB pod", vec![&plain]),
        ("web-1", vec![&plain]),
        ("disk", vec![&listed]),
        ("full disk", vec![&listed]),
        ("čeština", vec![&listed]),
        ("logs", vec![&listed]),
        ("Thanks", vec![&listed]),
        ("expiry certificates", vec![&about]),
        ("disk thanks", vec![]),
        ("restar", vec![]),
        ("user", vec![]),
        ("assistant", vec![]),
        ("canary", vec![]),
        ("expiry restart", vec![]),
        ("OR", vec![]),
        ("true", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|found| found.conversation_id).collect();
        assert_eq!(client.find(words).await, expected, "{words}");
    }
    // More than is searched is stored all the same.
    let long = client.begin().await;
    let text = format!("{:?}", format!("beginning {} ending", "x ".repeat(SEARCHED_CHARACTERS)));
    client.exchange(&long, &text, None).await;
    assert_eq!(client.find("beginning").await, [long.conversation_id]);
    assert_eq!(client.find("ending").await, []);
}

/// Words in quotes are found where they follow one another, whatever stands between them that is no word.
pub async fn a_phrase_is_found_word_for_word(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let one = client.begin().await;
    client.exchange(&one, r#""The disk is full, again""#, None).await;
    let other = client.begin().await;
    client.exchange(&other, r#"[{"role":"user","content":"is the full disk -- again?"}]"#, None).await;
    client.exchange(&other, r#""full""#, Some(r#""thanks""#)).await;
    let about = client.begin().await;
    client.update(&about, to_topic("A full DISK")).await.expect("an update");
    for (asked, expected) in [
        (r#""disk is full""#, vec![&one]),
        (r#""DISK   is, full""#, vec![&one]),
        (r#""full disk""#, vec![&about, &other]),
        (r#"again "full-disk""#, vec![&other]),
        (r#""full disk again""#, vec![&other]),
        (r#""is full" "the disk""#, vec![&one]),
        (r#""the disk" full""#, vec![&one]),
        (r#""full disk" thanks"#, vec![]),
        (r#""ull disk""#, vec![]),
        (r#""again" "disk""#, vec![&other, &one]),
        // What has no end is no phrase.
        (r#""disk is"#, vec![&other, &one]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|found| found.conversation_id).collect();
        assert_eq!(client.find(asked).await, expected, "{asked}");
    }
    let somebody = client.somebody_else();
    assert_eq!(somebody.find(r#""disk is full""#).await, []);
}

/// Another user's is not found, nor what is deleted or purged; and what is found is what a list shows of it.
pub async fn a_search_finds_what_its_user_has(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let theirs = somebody.begin().await;
    somebody.say(&theirs, "needle").await;
    let (kept, deleted) = (client.begin().await, client.begin().await);
    for conversation in [&kept, &deleted] {
        client.say(conversation, "needle").await;
    }
    assert_eq!(client.find("needle").await.len(), 2);
    client.delete(&deleted).await;
    assert_eq!(client.find("needle").await, [kept.conversation_id]);
    assert_eq!(client.purge(policy()).await.len(), 1);
    assert_eq!(client.find("needle").await, [kept.conversation_id]);
    client.archive(&kept).await;
    let found = client.find_page("needle", None, 10).await;
    let now = client.get(&kept).await.expect("it is there");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].updated_at, found[0].status), (now.updated_at, now.status));
    assert_eq!((found[0].turn_count, found[0].last_turn.is_some()), (1, true));
    assert_eq!(somebody.find("needle").await, [theirs.conversation_id]);
    client.assert_sound().await;
}

/// Pages of every size make the whole, newest first.
pub async fn what_is_found_comes_in_pages(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut expected = Vec::new();
    for i in 0..25 {
        let conversation = client.begin().await;
        client.say(&conversation, if i % 3 == 0 { "other" } else { "needle" }).await;
        if i % 3 > 0 {
            expected.insert(0, conversation.conversation_id);
        }
    }
    for limit in [1, 4, 16, 17] {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = client.find_page("needle", after, limit).await;
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            let (updated_at, conversation_id) = (last.updated_at, last.conversation_id);
            after = Some(ConversationCursor { updated_at, conversation_id });
            all.extend(page.iter().map(|found| found.conversation_id));
        }
        assert_eq!(all, expected, "in pages of {limit}");
    }
    assert_eq!(client.find_page("needle", None, 0).await, []);
}

/// What another handle has stored is found by the next search, and what is purged meanwhile disturbs nobody.
pub async fn what_was_just_stored_is_found(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..12 {
        let conversation = client.begin().await;
        let word = format!("word{round}");
        client.say(&conversation, &word).await;
        let (here, there) = tokio::join!(client.find(&word), other.find(&word));
        assert_eq!((here, there), (vec![conversation.conversation_id], vec![conversation.conversation_id]));
        if round % 3 == 0 {
            other.delete(&conversation).await;
            other.purge(policy()).await;
            assert_eq!(client.find(&word).await, [], "{word}");
        }
    }
    assert_eq!(client.find("word1").await.len(), 1);
}
