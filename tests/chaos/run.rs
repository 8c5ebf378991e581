//! A short run in this process: the campaign's clients on replicas that fail now and then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lcs_tests::chaos::checker::{Verdict, check};
use lcs_tests::chaos::client::Client;
use lcs_tests::chaos::dice::Dice;
use lcs_tests::chaos::history::{self, Element, History, Page, Placed, Seen};
use lcs_tests::chaos::replica::{Append, Conversation, Refusal, Replica, Reply};
use lcs_tests::chaos::workload::{Plan, World};

const CLIENTS: u32 = 8;

pub(crate) fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        conversations: 12,
        mortal: 4,
        users: 3,
        tries: 8,
        pause: Duration::from_micros(200),
        cancelled_percent: 8,
        cancelled_within: Duration::from_micros(300),
        has_journals: false,
    }
}

/// What the checker says of a run on `replicas` that lasts this long.
pub(crate) async fn judged(plan: Plan, replicas: Vec<Arc<dyn Replica>>, lasts: Duration) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    let world = Arc::new(World::new(plan, History::create(&file).unwrap()));
    let flaky: Vec<Arc<dyn Replica>> = (0..)
        .zip(replicas.iter().cloned())
        .map(|(number, replica)| {
            Arc::new(Flaky { replica, dice: Mutex::new(Dice::part(!plan.seed, number)) }) as Arc<dyn Replica>
        })
        .collect();
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(Client::new(number, &world, flaky.clone()).run())).collect();
    tokio::time::sleep(lasts).await;
    world.stop();
    for client in clients {
        client.await.unwrap().unwrap();
    }
    // What a replica still has to do, it does now.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Client::new(CLIENTS, &world, replicas).last_look().await.unwrap();
    check(&history::read(&file).unwrap())
}

/// A replica whose connection breaks: before the request has come, or before the answer has.
struct Flaky {
    replica: Arc<dyn Replica>,
    dice: Mutex<Dice>,
}

impl Flaky {
    async fn pass<T>(&self, call: impl Future<Output = Reply<T>>) -> Reply<T> {
        let (chance, yields) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.below(100), dice.below(4))
        };
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        match chance {
            0..3 => Err(Refusal::NotDone("refused".into())),
            3..5 => Err(Refusal::Unknown("request cut".into())),
            5..10 => call.await.and_then(|_| Err(Refusal::Unknown("answer cut".into()))),
            _ => call.await,
        }
    }
}

#[async_trait]
impl Replica for Flaky {
    async fn create(&self, user: u32, number: u64) -> Reply<Conversation> {
        self.pass(self.replica.create(user, number)).await
    }

    async fn append(&self, conversation: &Conversation, append: &Append) -> Reply<Placed> {
        self.pass(self.replica.append(conversation, append)).await
    }

    async fn read(&self, user: u32, of: &Conversation, after: Option<u32>, limit: u32) -> Reply<Page> {
        self.pass(self.replica.read(user, of, after, limit)).await
    }

    async fn state(&self, user: u32, of: &Conversation) -> Reply<Seen> {
        self.pass(self.replica.state(user, of)).await
    }

    async fn put(&self, of: &Conversation, element: Element, from: u64, through_turn: u32) -> Reply<u64> {
        self.pass(self.replica.put(of, element, from, through_turn)).await
    }

    async fn list(&self, user: u32) -> Reply<Vec<String>> {
        self.pass(self.replica.list(user)).await
    }

    async fn delete(&self, conversation: &Conversation) -> Reply<()> {
        self.pass(self.replica.delete(conversation)).await
    }
}
