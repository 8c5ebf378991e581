//! Killed at a random moment, again and again: every answer whose `end` was received is there afterwards, once
//! and whole, and nothing is there that nobody asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use lcs_storage::testing::TestPostgres;
use tokio::sync::Notify;

use crate::client::Client;
use crate::process::{CANARY, Place};
use crate::stop::is_interrupted;

const KILLS: usize = 5;
const CLIENTS: usize = 8;
const QUESTIONS_EACH: usize = 25;
/// The pieces that each answer comes in.
const TOKENS: usize = 12;

/// A random number that a seed tells again (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % end as u64).unwrap()
    }
}

/// Tells when so many tokens have been heard, by all clients together.
struct Heard {
    tokens: AtomicUsize,
    enough: usize,
    is_enough: Notify,
}

impl Heard {
    fn token(&self) {
        if self.tokens.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.is_enough.notify_one();
        }
    }
}

/// A user, and what he knows of his conversations.
struct User {
    name: String,
    conversations: Vec<Conversation>,
    /// The question whose answer's `end` he has not received.
    open: Option<Open>,
    acknowledged: usize,
}

#[derive(Debug)]
struct Conversation {
    id: String,
    /// The questions, each of them answered.
    asked: Vec<String>,
}

#[derive(Debug)]
struct Open {
    conversation: Option<String>,
    question: String,
}

/// The whole answer to a conversation's `number`th question.
fn whole(question: &str, number: usize) -> String {
    format!("You said: {question} (turn {number} of our conversation)")
}

impl User {
    fn new(number: usize) -> Self {
        Self { name: format!("user-{number}"), conversations: Vec::new(), open: None, acknowledged: 0 }
    }

    /// Asks one question after the other, until all are answered or nobody answers any more.
    async fn ask(&mut self, client: &Client, round: usize, mut dice: Dice, heard: &Heard) {
        let client = client.user(&self.name);
        for number in 0..QUESTIONS_EACH {
            let known = self.conversations.len();
            let goes_on = known > 0 && dice.below(4) > 0;
            let conversation = goes_on.then(|| self.conversations[dice.below(known)].id.clone());
            let question = format!("{CANARY} {number} of round {round}");
            self.open = Some(Open { conversation: conversation.clone(), question: question.clone() });
            let Ok(mut events) = client.stream(conversation.as_deref(), &question).await else { return };
            let mut said = String::new();
            loop {
                let Some(event) = events.next().await else { return };
                let data = &event["data"];
                match event["event"].as_str().unwrap() {
                    "start" => self.started(data["conversation_id"].as_str().unwrap()),
                    "token" => {
                        said.push_str(data["token"].as_str().unwrap());
                        heard.token();
                    }
                    "turn_complete" => {}
                    "end" => break,
                    _ => panic!("{event}"),
                }
            }
            self.ended(&said);
        }
    }

    fn started(&mut self, id: &str) {
        let open = self.open.as_mut().unwrap();
        if open.conversation.is_none() {
            self.conversations.push(Conversation { id: id.to_owned(), asked: Vec::new() });
        }
        open.conversation = Some(id.to_owned());
    }

    fn ended(&mut self, said: &str) {
        let open = self.open.take().unwrap();
        let mut conversations = self.conversations.iter_mut();
        let conversation =
            conversations.find(|conversation| Some(&conversation.id) == open.conversation.as_ref()).unwrap();
        conversation.asked.push(open.question.clone());
        assert_eq!(said, whole(&open.question, conversation.asked.len()));
        self.acknowledged += 1;
    }

    /// Asserts that what he was told is there, and nothing that he did not ask; from then on it is what he knows.
    async fn look(&mut self, client: &Client) {
        let client = client.user(&self.name);
        let (mut known, mut open) = (std::mem::take(&mut self.conversations), self.open.take());
        for listed in client.list().await {
            let id = listed["conversation_id"].as_str().unwrap();
            let place = known.iter().position(|conversation| conversation.id == id);
            let mut conversation = place.map_or_else(
                || Conversation { id: id.to_owned(), asked: Vec::new() },
                |place| known.swap_remove(place),
            );
            // One that began unseen is the one that was being begun.
            let is_open = |open: &mut Open| match &open.conversation {
                Some(open) => open == id,
                None => place.is_none(),
            };
            let open = open.take_if(|open| is_open(open));
            assert!(place.is_some() || open.is_some(), "{id}: nobody has begun it");
            let answered = conversation.asked.len();
            conversation.asked.extend(open.map(|open| open.question));
            let history = client.history("v1", id).await;
            assert!(history.len() >= answered, "{id}: {} of {answered} turns", history.len());
            assert_eq!(listed["message_count"], history.len(), "{id}");
            let turns = client.turns(id).await;
            assert_eq!(turns.len(), history.len());
            for (place, [question, answer]) in history.iter().enumerate() {
                assert_eq!(turns[place]["turn_number"], place + 1, "{id}");
                assert_eq!(Some(question), conversation.asked.get(place), "{id}, turn {}", place + 1);
                let expected = whole(question, place + 1);
                let is_partial =
                    place >= answered && is_interrupted(&turns[place]) && expected.starts_with(answer);
                assert!(is_partial || *answer == expected, "{id}, turn {}: {answer}", place + 1);
            }
            // One that was killed before its first answer was stored is there without a turn.
            conversation.asked.truncate(history.len());
            self.conversations.push(conversation);
        }
        for lost in known {
            assert!(lost.asked.is_empty(), "{}: it is gone with {:?}", lost.id, lost.asked);
        }
    }
}

async fn is_killed_again_and_again(place: Place) {
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ u64::from(line!()));
    eprintln!("KILL_SEED={seed}");
    let mut dice = Dice(seed);
    let mut users: Vec<User> = (0..CLIENTS).map(User::new).collect();
    let mut process = place.serve_with(&[]).await;
    for round in 1..=KILLS {
        let enough = 1 + dice.below(CLIENTS * QUESTIONS_EACH * TOKENS - 1);
        let heard = Heard { tokens: AtomicUsize::new(0), enough, is_enough: Notify::new() };
        let heard = Arc::new(heard);
        let client = process.client.clone();
        let asking = users.iter_mut().map(|user| {
            let (client, heard, dice) = (&client, &heard, Dice(dice.below(usize::MAX) as u64));
            async move { user.ask(client, round, dice, heard).await }
        });
        let killing = async {
            heard.is_enough.notified().await;
            process.kill().await;
        };
        tokio::join!(join_all(asking), killing);
        let acknowledged: usize = users.iter().map(|user| user.acknowledged).sum();
        eprintln!("killed after {enough} tokens: {acknowledged} answers were acknowledged so far");
        process = place.serve_with(&[]).await;
        for user in &mut users {
            user.look(&process.client).await;
        }
    }
    process.stop().await;
}

#[tokio::test]
async fn what_was_answered_survives_kills() {
    is_killed_again_and_again(Place::sqlite()).await;
}

#[tokio::test]
async fn what_was_answered_survives_kills_on_postgres() {
    let database = TestPostgres::create().await;
    is_killed_again_and_again(Place::postgres(&database)).await;
}
