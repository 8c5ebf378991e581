//! An agent is made again where it stopped.

use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::{AppendTurn, Entity, NewTurn, PageLimit, RepositoryError, SystemClock, TurnRange, UserId};
use lcs_domain::{Clock, Metadata, Payload, TurnId};

use super::{begin, configured, replica, request, say, shared_store, text};

#[tokio::test]
async fn a_second_process_goes_on_where_the_first_stopped() {
    let (store, user) = (shared_store(), UserId::generate());
    let first = replica(&store).await;
    let conversation = begin(&first, user).await;
    let answer = say(&first, user, conversation, "my favourite colour is teal").await.unwrap();
    assert_eq!(answer.turn_number, Some(1));
    drop(first);

    let second = replica(&store).await;
    let answer = say(&second, user, conversation, "what is my favourite colour?").await.unwrap();
    assert_eq!(answer.turn_number, Some(2));
    assert_eq!(text(&answer.output_message), "Your favourite colour is teal.");
}

#[tokio::test]
async fn turns_that_came_without_a_state_are_caught_up_with() {
    let (store, user) = (shared_store(), UserId::generate());
    let manager = replica(&store).await;
    let conversation = begin(&manager, user).await;
    say(&manager, user, conversation, "my name is Ada").await.unwrap();

    // A host appends 250 turns of its own, more than a page: the last of them tells a new fact.
    for n in 1..=250 {
        let said = if n == 250 { "my name is Grace".to_owned() } else { format!("hello {n}") };
        let now = SystemClock.now();
        let turn = NewTurn::new(
            TurnId::generate(),
            request(&said).input_messages,
            None,
            now,
            now,
            Metadata::default(),
        );
        let append = AppendTurn {
            conversation_id: conversation,
            turn: turn.unwrap(),
            expected_turn_count: None,
            agent_state: None,
        };
        manager.agent_manager().add_conversation_turn(user, append).await.unwrap();
    }
    // P5: the live agent has not seen them, and is not used.
    let answer = say(&manager, user, conversation, "what is my name?").await.unwrap();
    assert_eq!(text(&answer.output_message), "Your name is Grace.");
    assert_eq!(answer.turn_number, Some(252));
    let answer = say(&manager, user, conversation, "hello").await.unwrap();
    assert_eq!(text(&answer.output_message), "You said: hello (turn 253 of our conversation)");
}

#[tokio::test]
async fn without_rehydration_a_new_agent_speaks_in_the_old_conversation() {
    let (store, user) = (shared_store(), UserId::generate());
    let first = replica(&store).await;
    let conversation = begin(&first, user).await;
    say(&first, user, conversation, "my name is Ada").await.unwrap();

    let configuration =
        Configuration { enable_rehydration: false, ..Configuration::new(StoreConfiguration::Memory) };
    let second = configured(configuration, &store).await;
    let answer = say(&second, user, conversation, "what is my name?").await.unwrap();
    assert_eq!(text(&answer.output_message), "You have not told me your name yet.");
    assert_eq!(answer.turn_number, Some(2), "the history is kept all the same");
    let answer = say(&second, user, conversation, "hello").await.unwrap();
    assert_eq!(
        text(&answer.output_message),
        "You said: hello (turn 2 of our conversation)",
        "one live agent"
    );

    // P4: what the first one remembered was not replaced by what the new one does not know.
    let third = replica(&store).await;
    let answer = say(&third, user, conversation, "what is my name?").await.unwrap();
    assert_eq!(text(&answer.output_message), "Your name is Ada.");
}

#[tokio::test]
async fn history_is_read_in_order_and_never_falsely_empty() {
    let (store, user) = (shared_store(), UserId::generate());
    let manager = replica(&store).await;
    let agents = manager.agent_manager();
    let conversation = begin(&manager, user).await;
    for n in 1..=3 {
        say(&manager, user, conversation, &format!("hello {n}")).await.unwrap();
    }
    let all = PageLimit::default();
    let page = agents.get_conversation_history(user, conversation, TurnRange::After(0), all).await.unwrap();
    let numbers: Vec<u32> = page.turns.iter().map(|turn| turn.turn_number).collect();
    assert_eq!(numbers, [1, 2, 3]);

    let stranger = UserId::generate();
    for user in [stranger, user] {
        if user != stranger {
            assert!(agents.delete_conversation(user, conversation).await.unwrap());
        }
        let error = agents.get_conversation_history(user, conversation, TurnRange::Newest, all).await;
        assert!(matches!(
            error.unwrap_err().repository_error(),
            Some(RepositoryError::NotFound { entity: Entity::Conversation })
        ));
    }
}

#[tokio::test]
async fn the_mapping_names_the_agent_to_its_owner_only() {
    let (store, user) = (shared_store(), UserId::generate());
    let manager = replica(&store).await;
    let conversation = begin(&manager, user).await;
    let agents = manager.agent_manager();
    let agent = agents.conversation_to_agent_mapping(user, conversation).await.unwrap().unwrap();
    let state = manager.agent_state_service().get_agent_state(user, agent).await.unwrap();
    assert_eq!(state, None, "no turn, no state yet");
    say(&manager, user, conversation, "hello").await.unwrap();
    let state = manager.agent_state_service().get_agent_state(user, agent).await.unwrap().unwrap();
    assert_eq!((state.revision, state.through_turn, state.conversation_id), (1, 1, conversation));
    assert!(state.agent_config.as_json().contains("echo"));
    assert_eq!(state.current_state, Some(Payload::parse(r#"{"turns":1,"facts":{}}"#).unwrap()));

    let foreign = agents.conversation_to_agent_mapping(UserId::generate(), conversation).await.unwrap();
    assert_eq!(foreign, None);
}
