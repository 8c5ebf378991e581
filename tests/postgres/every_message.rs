//! Each message of each write, failed in each way: what the caller is told, and what is stored.
//!
//! A write is counted once undisturbed, on a new connection, so that preparing the statement is counted too. Then
//! every single message of it fails, and the same call is made again with the same key. The rules are the
//! same for all: see [`Bench::disturbed`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentStateRepository, AppendTurn, Conversation, ConversationRepository, ConversationUpdate,
    NewConversation, NewTurn, PageLimit, Payload, RepositoryError, RetentionPolicy, RetentionRepository,
    SaveAgentState, Text,
};
use lcs_storage::postgres::{Postgres, PostgresConfig, SslMode};
use lcs_storage::testing::TestPostgres;
use lcs_tests::proxy::{Failure, Proxy};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{append, begin, config, saying, saying_with_state, single};

/// A write, ready to be made as often as need be.
enum Write {
    Create(NewConversation),
    Update(ConversationUpdate),
    Append(Box<AppendTurn>),
    Save(SaveAgentState),
    DeleteState,
    Delete,
    Adopt(NewConversation, Vec<NewTurn>),
    Purge,
}

/// A write to a conversation of its own, with a turn and a state in it already.
struct Case {
    write: Write,
    conversation: Conversation,
}

impl Case {
    async fn new(store: &Postgres, name: &str) -> Self {
        let conversation = begin(store).await;
        append(store, &conversation, saying_with_state(&conversation, "before", 0)).await.unwrap();
        let new = || NewConversation::begin(Text::name("model", "/model_id").unwrap());
        let write = match name {
            "create" => Write::Create(new()),
            "update" => {
                let topic_summary = Some(Some(Text::summary("topic", "/topic_summary").unwrap()));
                Write::Update(ConversationUpdate { topic_summary, ..ConversationUpdate::default() })
            }
            "append" => Write::Append(Box::new(saying(&conversation, "x"))),
            "append with state" => Write::Append(Box::new(saying_with_state(&conversation, "x", 1))),
            "save" => Write::Save(SaveAgentState {
                agent_id: conversation.agent_id,
                conversation_id: conversation.conversation_id,
                agent_config: None,
                current_state: Some(Payload::parse("2").unwrap()),
                expected_revision: 1,
                through_turn: 1,
            }),
            "delete state" => Write::DeleteState,
            "delete" => Write::Delete,
            "adopt" => {
                Write::Adopt(new(), vec![saying(&conversation, "y").turn, saying(&conversation, "z").turn])
            }
            "purge" => {
                let (user, id) = (conversation.user_id, conversation.conversation_id);
                assert!(ConversationRepository::delete(store, user, id).await.unwrap());
                Write::Purge
            }
            other => panic!("{other} is no write"),
        };
        Self { write, conversation }
    }

    /// Makes the write: what it came to, without ids and times.
    async fn make(&self, store: &Postgres) -> RepositoryResult<String> {
        let (user, id) = (self.conversation.user_id, self.conversation.conversation_id);
        let agent = self.conversation.agent_id;
        let told = |told: &dyn Debug| Ok(format!("{told:?}"));
        match &self.write {
            Write::Create(new) => {
                let made = ConversationRepository::create(store, user, new.clone()).await?;
                told(&(made.status, made.turn_count))
            }
            Write::Update(update) => {
                let updated = ConversationRepository::update(store, user, id, update.clone()).await?;
                told(&(updated.status, updated.topic_summary))
            }
            Write::Append(command) => {
                let appended = append(store, &self.conversation, (**command).clone()).await?;
                // Whether it is told as replayed says which of the tries stored it, and both is true.
                told(&(appended.turn_number, appended.state_revision, appended.durability))
            }
            Write::Save(save) => told(&store.save(user, save.clone()).await?.revision),
            Write::DeleteState => told(&AgentStateRepository::delete(store, user, agent).await?),
            Write::Delete => told(&ConversationRepository::delete(store, user, id).await?),
            Write::Adopt(new, turns) => {
                let adopted = store.adopt(user, new.clone(), turns.clone()).await?;
                told(&(adopted.status, adopted.turn_count))
            }
            Write::Purge => {
                let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(24)).unwrap();
                store.purge_batch(policy, PageLimit::MAX).await?;
                // What a lost try has removed is in no report: that it is gone counts.
                Ok("purged".to_owned())
            }
        }
    }

    /// Everything that is stored of this user, without ids and times.
    async fn stored(&self, client: &Client) -> Vec<String> {
        let user = self.conversation.user_id;
        let ids = match &self.write {
            Write::Create(new) | Write::Adopt(new, _) => {
                format!("'{}', '{}'", self.conversation.conversation_id, new.conversation_id)
            }
            _ => format!("'{}'", self.conversation.conversation_id),
        };
        let rows = client
            .simple_query(&format!(
                "SELECT 'conversation', status, turn_count::text, state_revision::text, topic_summary
                   FROM conversations WHERE user_id = '{user}'
                 UNION ALL SELECT 'turn', turn_number::text, input_messages::text, output_message::text, metadata::text
                   FROM conversation_turns WHERE user_id = '{user}'
                 UNION ALL SELECT 'state', revision::text, through_turn::text, current_state::text, agent_config::text
                   FROM agent_states WHERE user_id = '{user}'
                 UNION ALL SELECT 'tombstone', reason, '', '', ''
                   FROM conversation_tombstones WHERE conversation_id IN ({ids})
                 ORDER BY 1, 2, 3, 4, 5"
            ))
            .await;
        let rows = rows.unwrap().into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| format!("{:?}", (0..row.len()).map(|column| row.get(column)).collect::<Vec<_>>()))
            .collect()
    }
}

/// What an undisturbed write comes to, and the same once more.
struct Undisturbed {
    messages: u32,
    before: Vec<String>,
    after: Vec<String>,
    first: String,
    second: String,
}

/// An answer, or which error it is.
fn told(outcome: &RepositoryResult<String>) -> String {
    match outcome {
        Ok(told) => told.clone(),
        Err(error) => {
            let shown = format!("{error:?}");
            shown.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

/// The store's server, and the proxy before it.
struct Bench {
    database: TestPostgres,
    client: Client,
    direct: Postgres,
    proxy: Proxy,
    through: PostgresConfig,
}

impl Bench {
    async fn new() -> Self {
        let database = TestPostgres::create().await;
        let direct = single(database.url()).await;
        let proxy = Proxy::start(database.host(), database.port()).await.unwrap();
        let through = PostgresConfig {
            host: "127.0.0.1".into(),
            port: proxy.port(),
            ssl_mode: SslMode::Disable,
            pool_size: 1,
            max_overflow: 0,
            ..config(database.url())
        };
        let client = database.client().await;
        Self { database, client, direct, proxy, through }
    }

    /// A store without a connection yet.
    async fn store(&self) -> Postgres {
        Postgres::connect(self.through.clone()).await.unwrap()
    }

    async fn undisturbed(&self, name: &str) -> Undisturbed {
        let case = Case::new(&self.direct, name).await;
        let before = case.stored(&self.client).await;
        let store = self.store().await;
        self.proxy.heal();
        let first = case.make(&store).await;
        let messages = self.proxy.seen();
        let after = case.stored(&self.client).await;
        assert_ne!(before, after, "{name} changes nothing");
        assert!(first.is_ok(), "{name}: {first:?}");
        let second = case.make(&store).await;
        assert_eq!(case.stored(&self.client).await, after, "{name}, made twice, is done once");
        Undisturbed { messages, before, after, first: told(&first), second: told(&second) }
    }

    /// Fails message `number` of the write, and makes it again: what was told first, and whether it was done.
    async fn disturbed(
        &self,
        name: &str,
        expected: &Undisturbed,
        number: u32,
        failure: Failure,
        is_gone_after: bool,
    ) -> (String, bool) {
        let place =
            format!("{name}, message {number}: {failure:?}, the server is gone after: {is_gone_after}");
        let case = Case::new(&self.direct, name).await;
        let store = self.store().await;
        self.proxy.fail(number, failure, is_gone_after);
        let outcome = case.make(&store).await;
        let stored = case.stored(&self.client).await;
        let is_done = stored == expected.after;
        assert!(is_done || stored == expected.before, "{place}: half a write is stored: {stored:?}");
        match &outcome {
            Ok(told) => assert!(is_done && *told == expected.first, "{place}: told {told}, done: {is_done}"),
            // Nothing is said of whether it was done, but how to find out.
            Err(RepositoryError::OutcomeUnknown { key }) => assert!(!key.is_empty(), "{place}"),
            Err(RepositoryError::Unavailable { .. } | RepositoryError::Backend { .. }) => {
                assert!(!is_done, "{place}: it was done, and is told as not applied: {outcome:?}");
            }
            Err(other) => panic!("{place}: {other:?}"),
        }
        // A server that refuses is there, and one that comes back is used: nobody sees that it was gone.
        match (failure, is_gone_after) {
            (Failure::Before | Failure::After, false) => assert!(outcome.is_ok(), "{place}: {outcome:?}"),
            (Failure::Before | Failure::After, true) => assert!(outcome.is_err(), "{place}: {outcome:?}"),
            (Failure::Refused | Failure::Held, _) => {}
        }
        self.proxy.heal();
        let again = told(&case.make(&store).await);
        let right = if is_done { &expected.second } else { &expected.first };
        assert_eq!(again, *right, "{place}: the same call again, after {outcome:?}");
        assert_eq!(case.stored(&self.client).await, expected.after, "{place}: the end");
        (told(&outcome), is_done)
    }
}

/// Fails each message of the write in each way.
async fn fail_every_message(name: &str) {
    let bench = Bench::new().await;
    let failures = [
        (Failure::Before, false),
        (Failure::Before, true),
        (Failure::After, false),
        (Failure::After, true),
        (Failure::Refused, false),
    ];
    let mut table: BTreeMap<String, u32> = BTreeMap::new();
    let expected = bench.undisturbed(name).await;
    println!("{name}: {} messages", expected.messages);
    assert!((4..=60).contains(&expected.messages), "{}", expected.messages);
    let mut answer_lost_after_it_was_done = 0;
    for number in 1..=expected.messages {
        for (failure, is_gone_after) in failures {
            let (told, is_done) = bench.disturbed(name, &expected, number, failure, is_gone_after).await;
            answer_lost_after_it_was_done += u32::from(told == "OutcomeUnknown" && is_done);
            let line = format!("{failure:?}, gone after: {is_gone_after}: {told}, done: {is_done}");
            *table.entry(line).or_default() += 1;
        }
    }
    for (line, count) in table {
        println!("{count:4} x {line}");
    }
    assert!(answer_lost_after_it_was_done > 0, "no answer was lost after the commit");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    assert_eq!(bench.database.value(open).await.as_deref(), Some("0"));
}

macro_rules! every_message_of {
    ($($test:ident: $write:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                fail_every_message($write).await;
            }
        )*
    };
}

every_message_of! {
    create_is_done_once_whichever_message_fails: "create",
    update_is_done_once_whichever_message_fails: "update",
    append_is_done_once_whichever_message_fails: "append",
    append_with_state_is_done_once_whichever_message_fails: "append with state",
    save_is_done_once_whichever_message_fails: "save",
    delete_of_a_state_is_done_once_whichever_message_fails: "delete state",
    delete_is_done_once_whichever_message_fails: "delete",
    adopt_is_done_once_whichever_message_fails: "adopt",
    purge_is_done_once_whichever_message_fails: "purge",
}
