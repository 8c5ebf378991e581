//! P4: an agent's state at revision r was made from r - 1.

use lcs_domain::{RepositoryError, Saved};

use super::Harness;
use super::fixture::{Client, assert_refused, at_once, is, race, saving, saying, stale_revision, with_state};

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
