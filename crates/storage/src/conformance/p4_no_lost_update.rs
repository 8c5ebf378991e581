//! P4: an agent's state at revision r was made from r - 1.

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{Conversation, ConversationStatus, ConversationUpdate, RepositoryError, Saved};

use super::Harness;
use super::fixture::{
    Client, NO_CONVERSATION, assert_refused, at_once, is, race, saving, saying, stale_count, stale_revision,
    to_status, to_topic, with_state,
};

const WRITERS: usize = 50;

/// 50 saves that were all made from the same revision, at once: one wins, the others learn that it did.
pub async fn of_fifty_saves_from_one_revision_one_wins(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    for revision in 0..3 {
        let answers = at_once((0..WRITERS).map(|writer| {
            let client = if writer % 2 == 0 { client.clone() } else { other.clone() };
            let save = saving(&conversation, &writer.to_string(), revision);
            async move { client.save(save).await }
        }))
        .await;
        let won: Vec<usize> =
            answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()).map(|(i, _)| i).collect();
        assert_eq!(won.len(), 1, "one of 50 wins revision {}: {answers:?}", revision + 1);
        let too_late = stale_revision(revision, revision + 1);
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(is(error, &too_late), "the others learn of it: expected {too_late:?}, got {error:?}");
        }
        let state = client.state(&conversation).await.expect("a state");
        let stored = state.current_state.expect("a state").as_json().to_owned();
        assert_eq!((state.revision, stored), (revision + 1, won[0].to_string()), "the winner's is stored");
    }
}

/// 50 writers that each count one further, reading again whenever they come too late, count to 50.
pub async fn fifty_writers_count_to_fifty(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    let mut revisions = at_once((0..WRITERS).map(|writer| {
        let client = if writer % 2 == 0 { client.clone() } else { other.clone() };
        let conversation = conversation.clone();
        async move {
            let mut expected = 0;
            loop {
                let state = client.state(&conversation).await;
                let (revision, counted) = state.map_or((0, 0), |state| {
                    let counted = state.current_state.expect("a count").as_json().parse::<u64>();
                    (state.revision, counted.expect("a number"))
                });
                assert!(revision >= expected, "a read is not older than a refusal");
                let counted = (counted + 1).to_string();
                // Half of them store their state with a turn.
                let result = if writer % 4 < 2 {
                    client.save(saving(&conversation, &counted, revision)).await.map(|saved| saved.revision)
                } else {
                    let append =
                        with_state(saying(&conversation, "count"), &conversation, &counted, revision);
                    client.append(append).await.map(|appended| appended.state_revision)
                };
                match result {
                    Ok(stored) => return stored,
                    Err(RepositoryError::Conflict { observed, .. }) => expected = observed,
                    Err(error) => panic!("expected a revision or a conflict, got {error:?}"),
                }
            }
        }
    }))
    .await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<u64>>(), "each revision is given once");
    let state = client.state(&conversation).await.expect("a state");
    assert_eq!(state.current_state.expect("a count").as_json(), "50", "no count is lost");
    let head = client.head(&conversation).await.expect("a head");
    let with_a_turn = (0..WRITERS).filter(|writer| writer % 4 >= 2).count();
    assert_eq!((head.state_revision, head.turn_count as usize), (50, with_a_turn));
}

/// A stale revision refuses the turn and the state together.
pub async fn a_stale_revision_refuses_turn_and_state(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let first = with_state(saying(&conversation, "one"), &conversation, "1", 0);
    client.append(first).await.expect("the first turn");
    let before = (
        client.get(&conversation).await,
        client.state(&conversation).await,
        client.turns(&conversation).await,
    );
    for expected in [0, 2, 3, u64::MAX] {
        let stale = with_state(saying(&conversation, "two"), &conversation, "2", expected);
        assert_refused(client.append(stale).await, &stale_revision(expected, 1), "a stale append");
        let stale = saving(&conversation, "2", expected);
        assert_refused(client.save(stale).await, &stale_revision(expected, 1), "a stale save");
    }
    let after = (
        client.get(&conversation).await,
        client.state(&conversation).await,
        client.turns(&conversation).await,
    );
    assert_eq!(after, before, "neither turn nor state nor head has changed");
}

/// Revisions go on rising when a state is deleted: none of them ever names two states.
pub async fn a_revision_is_never_given_twice(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let save = |expected| client.save(saving(&conversation, "1", expected));
    let revision = |saved: Saved| saved.revision;
    assert_eq!(save(0).await.map(revision).expect("the first state"), 1);
    assert_eq!(save(1).await.map(revision).expect("the second state"), 2);
    let states = client.store.agent_states();
    let deleted = states.delete(client.user_id, conversation.agent_id).await.expect("a state is deleted");
    assert!(deleted);
    assert_eq!(client.head(&conversation).await.expect("a head").state_revision, 3, "deleting is a revision");
    for expected in [0, 1, 2] {
        assert_refused(save(expected).await, &stale_revision(expected, 3), "made from what was deleted");
    }
    let appended = with_state(saying(&conversation, "x"), &conversation, "1", 3);
    assert_eq!(client.append(appended).await.expect("made from nothing").state_revision, 4);
    assert_eq!(client.state(&conversation).await.expect("a state").revision, 4);
}

/// A state deleted and saved at once: whoever comes second knows of the first.
pub async fn a_save_racing_a_delete_is_made_from_what_is_there(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for round in 0..16 {
        let conversation = client.begin().await;
        client.save(saving(&conversation, "1", 0)).await.expect("the first state");
        let (one, two) = (client.clone(), client.clone());
        let (save, agent_id) = (saving(&conversation, "2", 1), conversation.agent_id);
        let save = async move { one.save(save).await };
        let delete = async move { two.store.agent_states().delete(two.user_id, agent_id).await };
        let (saved, deleted) = race(save, delete, round).await;
        assert!(deleted.expect("a state is deleted"), "there is a state to delete at all times");
        let head = client.head(&conversation).await.expect("a head");
        match saved {
            // Saved first, then deleted.
            Ok(saved) => assert_eq!((saved.revision, head.state_revision), (2, 3)),
            // Deleted first.
            Err(error) => {
                assert!(is(&error, &stale_revision(1, 2)), "{error:?}");
                assert_eq!(head.state_revision, 2);
            }
        }
        assert_eq!(client.state(&conversation).await, None, "what is deleted last is gone");
    }
}

/// An update that says which time of the last change it was made from is done to that, or not at all; sent a
/// second time it is refused, also where the clock has not moved on in between.
pub async fn an_update_made_from_an_older_time_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let made = client.begin().await;
    let from =
        |update: ConversationUpdate, time| ConversationUpdate { expected_updated_at: Some(time), ..update };
    let refused = |expected: &Conversation, observed: &Conversation| {
        let micros = |conversation: &Conversation| conversation.updated_at.timestamp_micros().unsigned_abs();
        stale_count(micros(expected), micros(observed))
    };
    let archive = || from(to_status(OpenStatus::Archived), made.updated_at);
    let archived = client.update(&made, archive()).await.expect("an update from what is there");
    assert_eq!(archived.status, ConversationStatus::Archived);
    assert!(archived.updated_at > made.updated_at, "an update moves the time on");
    let again = client.update(&made, archive()).await;
    assert_refused(again, &refused(&made, &archived), "the same update again");
    let newer = client.update(&made, to_status(OpenStatus::Active)).await.expect("an update from anything");
    assert!(newer.updated_at > archived.updated_at, "also the second time");
    for stale in [&made, &archived] {
        let update = from(to_topic("older"), stale.updated_at);
        assert_refused(client.update(&made, update).await, &refused(stale, &newer), "an update from before");
    }
    assert_eq!(client.get(&made).await, Some(newer.clone()), "nothing of them is there");
    client.update(&made, from(to_topic("newer"), newer.updated_at)).await.expect("from what is there now");
    client.delete(&made).await;
    let update = from(to_topic("late"), newer.updated_at);
    assert_refused(client.update(&made, update).await, &NO_CONVERSATION, "of what is deleted");
}

/// Twenty updates that were all made from the same time, at once: one is done.
pub async fn of_updates_from_one_time_at_once_one_wins(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let made = client.begin().await;
    let answers = at_once((0..20).map(|writer| {
        let client = if writer % 2 == 0 { client.clone() } else { other.clone() };
        let topic = to_topic(&writer.to_string());
        let update = ConversationUpdate { expected_updated_at: Some(made.updated_at), ..topic };
        let made = made.clone();
        async move { client.update(&made, update).await }
    }))
    .await;
    let won: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(won.len(), 1, "one of 20 wins: {answers:?}");
    let refused = |answer: &RepositoryError| matches!(answer, RepositoryError::Conflict { .. });
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(refused), "{answers:?}");
    let topic = client.get(&made).await.expect("the conversation").topic_summary;
    assert_eq!(topic.as_deref(), Some(won[0].0.to_string().as_str()), "the winner's is there");
}
