//! Answers that are lost after the server has committed, and commits that are lost before: what was done is
//! done once, and told truly.
//!
//! Between the store and the server stands a proxy that reads along: where it is told to, it takes away
//! the next rows that the server sends, which the server does after the commit; or the next statement on its
//! way there, which is its own commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    AgentId, AgentStateRepository, Begun, ConversationId, ConversationRepository, ConversationUpdate,
    Interruption, NewConversation, PageLimit, Payload, Repositories, RepositoryError, RequestRepository,
    RequestTarget, RetentionPolicy, RetentionRepository, SaveAgentState, Text, TurnRange, TurnRepository,
    UserId,
};
use lcs_storage::postgres::{Postgres, PostgresConfig, SslMode};
use lcs_storage::testing::TestPostgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{append, asking, begin, config, saying, saying_with_state, single};

/// More answers than one operation asks for.
const ALWAYS: u32 = 1_000;

/// How the proxy takes an answer away.
#[derive(Clone, Copy)]
enum Loss {
    /// The connection ends.
    Cut,
    /// Nothing comes any more.
    Silence,
    /// The connection ends before the statement has come to the server.
    Request,
    /// The connection ends when the test says so.
    Held,
}

/// How a test and its proxy wait for each other, with [`Loss::Held`].
#[derive(Default)]
struct Hold {
    /// An answer has been taken away: what it says is committed.
    taken: Notify,
    /// Its connection may end.
    released: Notify,
}

/// A store behind a proxy, and how many answers the proxy is still to take away.
struct Behind {
    store: Postgres,
    losses: Arc<AtomicU32>,
    hold: Arc<Hold>,
    database: TestPostgres,
}

impl Behind {
    async fn new(loss: Loss) -> Self {
        let database = TestPostgres::create().await;
        single(database.url()).await;
        let right = config(database.url());
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = PostgresConfig {
            host: "127.0.0.1".into(),
            port: proxy.local_addr().unwrap().port(),
            ssl_mode: SslMode::Disable,
            operation_timeout: match loss {
                Loss::Cut | Loss::Request | Loss::Held => Duration::from_secs(30),
                Loss::Silence => Duration::from_secs(4),
            },
            statement_timeout: match loss {
                Loss::Cut | Loss::Request | Loss::Held => Duration::from_secs(30),
                Loss::Silence => Duration::from_millis(100),
            },
            ..right.clone()
        };
        let (losses, hold) = (Arc::new(AtomicU32::new(0)), Arc::<Hold>::default());
        tokio::spawn({
            let (losses, hold) = (Arc::clone(&losses), Arc::clone(&hold));
            async move {
                loop {
                    let (client, _) = proxy.accept().await.unwrap();
                    let server = TcpStream::connect((right.host.clone(), right.port)).await.unwrap();
                    tokio::spawn(pass_on(client, server, Arc::clone(&losses), Arc::clone(&hold), loss));
                }
            }
        });
        let store = Postgres::connect(through).await.unwrap();
        // The first connection of a store is looked at: answers to that are not to be lost.
        store.ping().await.unwrap();
        Self { store, losses, hold, database }
    }

    /// Has the next `count` answers that hold rows taken away.
    fn lose(&self, count: u32) -> &Postgres {
        self.losses.store(count, Ordering::SeqCst);
        &self.store
    }
}

/// Passes messages on, whole ones from the server, until an answer is to be taken away.
async fn pass_on(client: TcpStream, server: TcpStream, losses: Arc<AtomicU32>, hold: Arc<Hold>, loss: Loss) {
    // Small messages, one by one: they would wait for each other's acknowledgement.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let one_less = |count: u32| count.checked_sub(1);
    let forth = tokio::spawn(pass_forth(from_client, to_server, Arc::clone(&losses), loss));
    while let Ok(kind) = from_server.read_u8().await {
        let length = from_server.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        from_server.read_exact(&mut body).await.unwrap();
        let is_answer = kind == b'D' && !matches!(loss, Loss::Request);
        if is_answer && losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            // The end of the answer comes after the commit.
            while from_server.read_u8().await.unwrap() != b'Z' {
                let length = from_server.read_u32().await.unwrap();
                from_server.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
            }
            match loss {
                Loss::Cut | Loss::Request => break,
                Loss::Silence => std::future::pending().await,
                Loss::Held => {
                    hold.taken.notify_one();
                    hold.released.notified().await;
                    break;
                }
            }
        }
        let message = [&[kind][..], &length.to_be_bytes()[..], &body[..]].concat();
        if to_client.write_all(&message).await.is_err() {
            break;
        }
    }
    forth.abort();
}

/// Passes messages on to the server, whole ones, until a statement is to be lost on the way.
async fn pass_forth(
    mut from_client: OwnedReadHalf,
    mut to_server: OwnedWriteHalf,
    losses: Arc<AtomicU32>,
    loss: Loss,
) {
    // The first message has no kind.
    let mut kind = None;
    while let Ok(length) = from_client.read_u32().await {
        let mut body = vec![0; length as usize - 4];
        from_client.read_exact(&mut body).await.unwrap();
        let one_less = |count: u32| count.checked_sub(1);
        if kind == Some(b'B')
            && matches!(loss, Loss::Request)
            && losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        {
            // The server sees the end and closes too, which the client hears of.
            break;
        }
        let message = [kind.as_slice(), &length.to_be_bytes()[..], &body[..]].concat();
        if to_server.write_all(&message).await.is_err() {
            break;
        }
        let Ok(next) = from_client.read_u8().await else { break };
        kind = Some(next);
    }
}

#[tokio::test]
async fn p1_no_outcome_is_unknown_where_the_database_answers_within_the_deadline() {
    for loss in [Loss::Cut, Loss::Request] {
        let behind = Behind::new(loss).await;
        let conversation = begin(&behind.store).await;
        for round in 1..=50 {
            // Up to four in a row: the fifth run is the last.
            let store = behind.lose(round % 5);
            let appended = append(store, &conversation, saying(&conversation, "x")).await.unwrap();
            assert_eq!(appended.turn_number, Some(round));
            assert_eq!(behind.losses.load(Ordering::SeqCst), 0, "all of them were lost");
        }
    }
}

#[tokio::test]
async fn p1_an_append_whose_answer_is_lost_is_stored_once() {
    for loss in [Loss::Cut, Loss::Silence] {
        let behind = Behind::new(loss).await;
        let conversation = begin(&behind.store).await;
        let command = saying_with_state(&conversation, "x", 0);
        let appended = append(behind.lose(2), &conversation, command.clone()).await.unwrap();
        assert_eq!((appended.turn_number, appended.state_revision), (Some(1), 1));
        // Lost every time, the answer is not known; the same key finds it out.
        let command = saying(&conversation, "y");
        let error = append(behind.lose(ALWAYS), &conversation, command.clone()).await.unwrap_err();
        behind.lose(0);
        let key = command.turn.turn_id().to_string();
        assert!(
            matches!(&error, RepositoryError::OutcomeUnknown { key: named } if *named == key),
            "{error:?}"
        );
        let again = append(&behind.store, &conversation, command).await.unwrap();
        assert_eq!((again.turn_number, again.replayed), (Some(2), true));
    }
}

/// A save of `state`, made from revision `expected_revision`.
fn save_of(
    conversation_id: ConversationId,
    agent_id: AgentId,
    state: &str,
    expected_revision: u64,
) -> SaveAgentState {
    SaveAgentState {
        agent_id,
        conversation_id,
        agent_config: None,
        current_state: Some(Payload::parse(state).unwrap()),
        expected_revision,
        through_turn: 0,
    }
}

#[tokio::test]
async fn every_other_write_whose_answer_is_lost_is_told_truly() {
    let behind = Behind::new(Loss::Cut).await;
    let user = UserId::generate();
    let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
    let (id, agent) = (new.conversation_id, new.agent_id);
    let made = ConversationRepository::create(behind.lose(1), user, new).await.unwrap();
    assert_eq!(made.conversation_id, id);

    let save = |state: &str, expected_revision| save_of(id, agent, state, expected_revision);
    assert_eq!(behind.lose(1).save(user, save("1", 0)).await.unwrap().revision, 1);
    assert_eq!(behind.store.save(user, save("2", 1)).await.unwrap().revision, 2);
    // The answer that is lost here is a refusal: the state of revision 2 is another one.
    let error = behind.lose(1).save(user, save("3", 1)).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Conflict { expected: 1, observed: 2, .. }), "{error:?}");

    assert!(AgentStateRepository::delete(behind.lose(1), user, agent).await.unwrap());
    assert!(!AgentStateRepository::delete(&behind.store, user, agent).await.unwrap());

    assert!(ConversationRepository::delete(behind.lose(1), user, id).await.unwrap());
    assert!(!ConversationRepository::delete(&behind.store, user, id).await.unwrap());
}

/// What happens to a conversation between a save whose answer is lost and the save being run again.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    /// Another state is made from the one that was saved.
    GoneOn,
    /// The state is deleted.
    Deleted,
    /// The conversation is closed.
    Archived,
}

#[tokio::test]
async fn a_save_is_not_refused_that_was_stored_and_gone_on_from() {
    for meanwhile in [Meanwhile::GoneOn, Meanwhile::Deleted, Meanwhile::Archived] {
        let behind = Behind::new(Loss::Held).await;
        let direct = single(behind.database.url()).await;
        let conversation = begin(&direct).await;
        let (user, id, agent) = (conversation.user_id, conversation.conversation_id, conversation.agent_id);
        let save = |state: &str, expected_revision| save_of(id, agent, state, expected_revision);
        let (saved, ()) = tokio::join!(behind.lose(1).save(user, save("1", 0)), async {
            behind.hold.taken.notified().await;
            match meanwhile {
                Meanwhile::GoneOn => drop(direct.save(user, save("2", 1)).await.unwrap()),
                Meanwhile::Deleted => {
                    assert!(AgentStateRepository::delete(&direct, user, agent).await.unwrap());
                }
                Meanwhile::Archived => {
                    let status = Some(OpenStatus::Archived);
                    let update = ConversationUpdate { status, ..ConversationUpdate::default() };
                    ConversationRepository::update(&direct, user, id, update).await.unwrap();
                }
            }
            behind.hold.released.notify_one();
        });
        match (meanwhile, saved) {
            (Meanwhile::Archived, Ok(saved)) => assert_eq!(saved.revision, 1),
            (_, Err(RepositoryError::OutcomeUnknown { key })) => assert_eq!(key, agent.to_string()),
            (_, told) => panic!("{meanwhile:?}: {told:?}"),
        }
        // Who was not in between is refused as before.
        let error = direct.save(user, save("3", 0)).await.unwrap_err();
        let is_refused = matches!(error, RepositoryError::Conflict { .. } | RepositoryError::Closed { .. });
        assert!(is_refused, "{meanwhile:?}: {error:?}");
    }
}

#[tokio::test]
async fn p1_an_adoption_whose_answer_is_lost_is_done_once() {
    let behind = Behind::new(Loss::Cut).await;
    let elsewhere = begin(&behind.store).await;
    let user = elsewhere.user_id;
    let new = NewConversation::begin(elsewhere.model_id.clone());
    let turns = vec![saying(&elsewhere, "x").turn, saying(&elsewhere, "y").turn];
    let adopted = behind.lose(1).adopt(user, new, turns).await.unwrap();
    assert_eq!(adopted.turn_count, 2);
    let page =
        behind.store.page(user, adopted.conversation_id, TurnRange::Newest, PageLimit::default()).await;
    assert_eq!(page.unwrap().unwrap().turns.len(), 2);
}

#[tokio::test]
async fn p1_a_request_whose_answer_is_lost_comes_to_the_same() {
    let behind = Behind::new(Loss::Cut).await;
    let user = UserId::generate();
    for key in [Some("key"), None] {
        let begin = asking(key);
        let target = RequestTarget { conversation_id: begin.conversation_id, turn_id: begin.turn_id };
        assert_eq!(behind.lose(1).begin(user, begin.clone()).await.unwrap(), Begun::Started(target));
        let requested = behind.lose(1).interrupt(user, begin.request_id).await.unwrap();
        assert_eq!(requested, Some(Interruption::Requested));
        let leases = [(user, begin.request_id)];
        assert_eq!(behind.lose(1).renew(&leases, begin.lease).await.unwrap(), [begin.request_id]);

        // Its lease runs out, another attempt takes over, and that answer is lost.
        behind.store.renew(&leases, Duration::ZERO).await.unwrap();
        let heir = asking(key);
        if key.is_some() {
            assert_eq!(behind.lose(1).begin(user, heir.clone()).await.unwrap(), Begun::Started(target));
            behind.lose(1).finish(user, heir.request_id).await.unwrap();
            behind.lose(1).abandon(user, heir.request_id).await.unwrap();
            let retry = behind.lose(1).begin(user, asking(key)).await.unwrap();
            assert_eq!(retry, Begun::Finished(target));
        } else {
            behind.lose(1).abandon(user, begin.request_id).await.unwrap();
            behind.lose(1).finish(user, begin.request_id).await.unwrap();
            assert_eq!(behind.lose(0).interrupt(user, begin.request_id).await.unwrap(), None);
        }
        behind.lose(0);
    }
    let begin = asking(Some("unknown"));
    let error = behind.lose(ALWAYS).begin(user, begin.clone()).await.unwrap_err();
    let id = begin.request_id.to_string();
    assert!(matches!(&error, RepositoryError::OutcomeUnknown { key } if *key == id), "{error:?}");
    behind.lose(0);
    assert!(matches!(behind.store.begin(user, begin).await.unwrap(), Begun::Started(_)));
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_not_told_as_not_applied() {
    let behind = Behind::new(Loss::Cut).await;
    // The first insert is taken, each later one is refused for a reason that the store knows nothing of.
    behind
        .database
        .execute(
            "CREATE SEQUENCE runs;
             CREATE FUNCTION refuse_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('runs') > 1 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse_later BEFORE INSERT ON conversations
                 FOR EACH ROW EXECUTE FUNCTION refuse_later()",
        )
        .await;
    let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
    let (user, id) = (UserId::generate(), new.conversation_id);
    let error = ConversationRepository::create(behind.lose(1), user, new).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::OutcomeUnknown { key } if *key == id.to_string()), "{error:?}");
    assert!(ConversationRepository::get(&behind.store, user, id).await.unwrap().is_some(), "it was applied");
}

#[tokio::test]
async fn a_purge_whose_answer_is_lost_names_no_key() {
    let behind = Behind::new(Loss::Cut).await;
    for _ in 0..5 {
        let conversation = begin(&behind.store).await;
        let (user, id) = (conversation.user_id, conversation.conversation_id);
        assert!(ConversationRepository::delete(&behind.store, user, id).await.unwrap());
    }
    let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(24)).unwrap();
    let purge = async |store: &Postgres| store.purge_batch(policy, PageLimit::new(1).unwrap()).await;
    let error = purge(behind.lose(ALWAYS)).await.unwrap_err();
    behind.lose(0);
    assert!(matches!(error, RepositoryError::OutcomeUnknown { .. }), "{error:?}");
    assert!(error.to_string().ends_with("with its key (it has none: just run it again)"), "{error}");
    // What a run has removed that came to its commit is in no report, and the rest goes now.
    while !purge(&behind.store).await.unwrap().purged.is_empty() {}
    let left = "SELECT count(*) FROM conversations";
    assert_eq!(behind.database.value(left).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_read_again_and_then_unavailable() {
    let behind = Behind::new(Loss::Cut).await;
    let conversation = begin(&behind.store).await;
    append(&behind.store, &conversation, saying(&conversation, "x")).await.unwrap();
    let page = async |store: &Postgres| {
        let (user, id) = (conversation.user_id, conversation.conversation_id);
        store.page(user, id, TurnRange::Newest, PageLimit::default()).await
    };
    assert_eq!(page(behind.lose(1)).await.unwrap().unwrap().turns.len(), 1);
    let error = page(behind.lose(ALWAYS)).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
}
