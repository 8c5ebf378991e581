//! Requests that are being answered: one answers, the others wait, and whoever asks again is told.
//!
//! A lease of no length has run out when it begins.

use std::time::Duration;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::request::MAX_LEASE;
use lcs_domain::{
    BeginRequest, Begun, ConversationId, Entity, Interruption, RepositoryError, RequestId, RequestTarget,
    TurnId,
};

use super::Harness;
use super::fixture::{Client, assert_refused, at_once};

/// Longer than any test takes.
const LEASE: Duration = Duration::from_mins(10);
/// What has run out when it begins.
pub(super) const OVER: Duration = Duration::ZERO;
const TAKEN: RepositoryError = RepositoryError::AlreadyExists { entity: Entity::Request };

pub(super) fn asking(key: Option<&str>) -> BeginRequest {
    BeginRequest {
        request_id: RequestId::generate(),
        idempotency_key: key.map(str::to_owned),
        request_hash: [7; 32],
        conversation_id: ConversationId::generate(),
        turn_id: TurnId::generate(),
        lease: LEASE,
    }
}

pub(super) fn target(begin: &BeginRequest) -> RequestTarget {
    RequestTarget { conversation_id: begin.conversation_id, turn_id: begin.turn_id }
}

fn mismatch(first: &BeginRequest) -> RepositoryError {
    RepositoryError::IdempotencyMismatch { turn_id: first.turn_id }
}

impl Client {
    async fn try_ask(&self, begin: &BeginRequest) -> RepositoryResult<Begun> {
        self.store.requests().begin(self.user_id, begin.clone()).await
    }

    pub(super) async fn ask(&self, begin: &BeginRequest) -> Begun {
        self.try_ask(begin).await.expect("a request is begun or found")
    }

    pub(super) async fn finish(&self, begin: &BeginRequest) {
        self.store.requests().finish(self.user_id, begin.request_id).await.expect("a request is finished");
    }

    async fn abandon(&self, begin: &BeginRequest) {
        self.store.requests().abandon(self.user_id, begin.request_id).await.expect("a request is abandoned");
    }

    async fn interrupt(&self, begin: &BeginRequest) -> Option<Interruption> {
        let interrupted = self.store.requests().interrupt(self.user_id, begin.request_id).await;
        interrupted.expect("a request is looked up")
    }

    async fn renew(&self, requests: &[&BeginRequest], lease: Duration) -> Vec<RequestId> {
        let requests: Vec<_> = requests.iter().map(|begin| (self.user_id, begin.request_id)).collect();
        let renewed = self.store.requests().renew(&requests, lease).await;
        renewed.expect("leases are renewed")
    }
}

#[track_caller]
fn assert_in_progress(begun: &Begun, what: &str) {
    let Begun::InProgress { lease_left } = begun else {
        panic!("{what}: expected it to be in progress, got {begun:?}");
    };
    assert!(*lease_left > LEASE / 2 && *lease_left <= LEASE, "{what}: {lease_left:?} are left");
}

/// That of `answers` one is started with `first`, and all others find it in progress.
fn assert_one_started(answers: &[Begun], is_target: impl Fn(RequestTarget, usize) -> bool) {
    let mut started = 0;
    for (i, begun) in answers.iter().enumerate() {
        match begun {
            Begun::Started(target) => {
                assert!(is_target(*target, i), "the target is the right one: {answers:?}");
                started += 1;
            }
            other => assert_in_progress(other, "beside the one"),
        }
    }
    assert_eq!(started, 1, "one is started: {answers:?}");
}

/// Of eight attempts with one key at once, from two handles, one answers and seven wait.
pub async fn p1_of_many_attempts_at_once_one_is_started(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..10 {
        let key = format!("key {round}");
        let attempts: Vec<_> = (0..8).map(|_| asking(Some(&key))).collect();
        let answers = at_once(attempts.iter().cloned().zip(0..).map(|(begin, i)| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            async move { client.ask(&begin).await }
        }))
        .await;
        assert_one_started(&answers, |found, i| found == target(&attempts[i]));
    }
}

/// Of eight that find an attempt whose lease has run out, one takes it over.
pub async fn p1_of_many_that_take_over_at_once_one_is_started(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..10 {
        let key = format!("key {round}");
        let crashed = BeginRequest { lease: OVER, ..asking(Some(&key)) };
        assert_eq!(client.ask(&crashed).await, Begun::Started(target(&crashed)));
        let answers = at_once((0..8).map(|i| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            let begin = asking(Some(&key));
            async move { client.ask(&begin).await }
        }))
        .await;
        assert_one_started(&answers, |found, _| found == target(&crashed));
    }
}

/// A retry waits while the first is being answered, and is then told where the answer is, for ever.
pub async fn p1_a_retry_is_told_what_became_of_the_first(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let first = asking(Some("key"));
    assert_eq!(client.ask(&first).await, Begun::Started(target(&first)));
    assert_in_progress(&other.ask(&asking(Some("key"))).await, "a retry");
    let another = asking(Some("another key"));
    assert_eq!(other.ask(&another).await, Begun::Started(target(&another)), "another key, another request");
    for _ in 0..2 {
        client.finish(&first).await;
        for client in [&client, &other] {
            let retry = client.ask(&asking(Some("key"))).await;
            assert_eq!(retry, Begun::Finished(target(&first)), "the first one's answer");
        }
        assert_eq!(client.ask(&first).await, Begun::Finished(target(&first)), "the same attempt again");
    }
}

/// A key names one request: another one under it is refused, and told the first one's turn.
pub async fn p1_a_key_used_for_another_request_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let first = asking(Some("key"));
    client.ask(&first).await;
    let other = BeginRequest { request_hash: [8; 32], ..asking(Some("key")) };
    assert_refused(client.try_ask(&other).await, &mismatch(&first), "while the first is answered");
    let same_id = BeginRequest { request_id: first.request_id, ..other.clone() };
    assert_refused(client.try_ask(&same_id).await, &mismatch(&first), "with the first one's id too");
    client.renew(&[&first], OVER).await;
    assert_refused(client.try_ask(&other).await, &mismatch(&first), "when its lease has run out");
    client.finish(&first).await;
    assert_refused(client.try_ask(&other).await, &mismatch(&first), "when it is answered");
    let retry = client.ask(&asking(Some("key"))).await;
    assert_eq!(retry, Begun::Finished(target(&first)), "the refused changed nothing");

    for (what, key) in [("without a key", None), ("with another key", Some("another"))] {
        let taken = BeginRequest { request_id: first.request_id, ..asking(key) };
        assert_refused(client.try_ask(&taken).await, &TAKEN, what);
    }
}

/// An attempt whose answer was lost is sent again, and answered as before, also at once.
pub async fn p1_a_request_sent_twice_is_started_twice(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..10 {
        let key = format!("key {round}");
        for key in [None, Some(&*key)] {
            let begin = asking(key);
            let answers = at_once((0..4).map(|i| {
                let client = if i % 2 == 0 { client.clone() } else { other.clone() };
                let begin = begin.clone();
                async move { client.ask(&begin).await }
            }))
            .await;
            for begun in answers {
                assert_eq!(begun, Begun::Started(target(&begin)), "{key:?}");
            }
            let another_target = BeginRequest { turn_id: TurnId::generate(), ..begin.clone() };
            assert_eq!(other.ask(&another_target).await, Begun::Started(target(&begin)), "the first's turn");
        }
    }
}

/// What an attempt that ended without a word may have stored is found by the one that takes it over; the
/// one that was taken over has no say any more, and an interruption was the old attempt's.
pub async fn p1_an_attempt_whose_lease_ran_out_is_taken_over(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let crashed = asking(Some("key"));
    client.ask(&crashed).await;
    assert_eq!(client.interrupt(&crashed).await, Some(Interruption::Requested));
    client.renew(&[&crashed], OVER).await;

    let heir = asking(Some("key"));
    assert_eq!(other.ask(&heir).await, Begun::Started(target(&crashed)), "with the old target");
    assert_eq!(other.renew(&[&heir], LEASE).await, [], "it is not to be interrupted");
    assert_eq!(client.interrupt(&crashed).await, None, "the old attempt is no more");
    client.finish(&crashed).await;
    client.abandon(&crashed).await;
    assert_eq!(client.renew(&[&crashed], OVER).await, []);
    assert_in_progress(&client.ask(&asking(Some("key"))).await, "the heir goes on");
    assert_in_progress(&client.ask(&crashed).await, "the old attempt, again");
    other.finish(&heir).await;
    assert_eq!(client.ask(&crashed).await, Begun::Finished(target(&crashed)));
}

/// Without a key nobody asks again: nothing is left of an answered request, and no two are one.
pub async fn a_request_without_a_key_is_forgotten_when_it_is_finished(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (one, two) = (asking(None), asking(None));
    for begin in [&one, &two] {
        assert_eq!(client.ask(begin).await, Begun::Started(target(begin)));
    }
    client.finish(&one).await;
    client.finish(&one).await;
    assert_eq!(client.interrupt(&one).await, None, "it is forgotten");
    assert_eq!(client.interrupt(&two).await, Some(Interruption::Requested), "the other one is not");
    client.finish(&asking(None)).await;
}

/// A request that came to no answer is begun anew by its retry; one that was answered stays answered.
pub async fn an_abandoned_request_begins_anew(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for key in [None, Some("key")] {
        let abandoned = asking(key);
        client.ask(&abandoned).await;
        for _ in 0..2 {
            client.abandon(&abandoned).await;
            assert_eq!(client.interrupt(&abandoned).await, None, "it is forgotten");
        }
        let other = BeginRequest { request_hash: [9; 32], ..asking(key) };
        assert_eq!(client.ask(&other).await, Begun::Started(target(&other)), "its key is free");
    }
    let answered = asking(Some("answered"));
    client.ask(&answered).await;
    client.finish(&answered).await;
    client.abandon(&answered).await;
    assert_eq!(client.ask(&asking(Some("answered"))).await, Begun::Finished(target(&answered)));
}

/// Only what is being answered can be interrupted, from any handle, any number of times.
pub async fn a_request_is_interrupted_while_it_is_answered(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let (running, expired) = (asking(Some("running")), BeginRequest { lease: OVER, ..asking(None) });
    client.ask(&running).await;
    client.ask(&expired).await;
    for _ in 0..2 {
        assert_eq!(other.interrupt(&running).await, Some(Interruption::Requested));
        assert_eq!(client.renew(&[&running], LEASE).await, [running.request_id], "whoever answers is told");
    }
    assert_eq!(other.interrupt(&expired).await, Some(Interruption::NotRunning), "its lease has run out");
    assert_eq!(client.renew(&[&expired], LEASE).await, [], "it was not to be interrupted");
    client.finish(&running).await;
    assert_eq!(other.interrupt(&running).await, Some(Interruption::NotRunning), "it is answered");
    assert_eq!(other.interrupt(&asking(None)).await, None, "there is no such request");
}

/// Renewing keeps the lease going, also one that has run out and was not taken over; no other is touched.
pub async fn a_lease_is_renewed_and_says_who_is_interrupted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let late = BeginRequest { lease: OVER, ..asking(Some("late")) };
    let (plain, stopped, done) = (asking(None), asking(None), asking(Some("done")));
    let not_mine = BeginRequest { lease: OVER, ..asking(Some("not mine")) };
    for begin in [&late, &plain, &stopped, &done, &not_mine] {
        client.ask(begin).await;
    }
    client.interrupt(&stopped).await;
    client.interrupt(&done).await;
    client.finish(&done).await;
    assert_eq!(client.renew(&[], LEASE).await, []);
    let renewed = client.renew(&[&late, &plain, &stopped, &done, &asking(None)], LEASE).await;
    assert_eq!(renewed, [stopped.request_id], "the one that is interrupted and being answered");
    assert_in_progress(&other.ask(&asking(Some("late"))).await, "the renewed one goes on");
    assert_eq!(other.ask(&asking(Some("done"))).await, Begun::Finished(target(&done)), "it stays answered");
    let taken = other.ask(&asking(Some("not mine"))).await;
    assert_eq!(taken, Begun::Started(target(&not_mine)), "what is not named is not renewed");

    let for_ever = BeginRequest { lease: Duration::MAX, ..asking(Some("for ever")) };
    client.ask(&for_ever).await;
    client.renew(&[&for_ever], Duration::MAX).await;
    let Begun::InProgress { lease_left } = client.ask(&asking(Some("for ever"))).await else {
        panic!("a long lease has not run out");
    };
    assert!(lease_left <= MAX_LEASE, "a lease is cut to a day: {lease_left:?}");
}

/// Two users with one key have two requests, and neither can touch the other's or learn of it.
pub async fn p9_another_users_request_is_an_absent_one(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let stranger = client.somebody_else();
    let mine = asking(Some("key"));
    client.ask(&mine).await;
    assert_eq!(stranger.interrupt(&mine).await, None);
    stranger.finish(&mine).await;
    stranger.abandon(&mine).await;
    assert_eq!(stranger.renew(&[&mine], OVER).await, []);
    assert_in_progress(&client.ask(&asking(Some("key"))).await, "it goes on");

    let theirs = BeginRequest { request_hash: [8; 32], ..asking(Some("key")) };
    assert_eq!(stranger.ask(&theirs).await, Begun::Started(target(&theirs)), "the same key of another user");
    stranger.finish(&theirs).await;
    assert_in_progress(&client.ask(&asking(Some("key"))).await, "it goes on");
    let taken = BeginRequest { request_id: mine.request_id, ..asking(None) };
    assert_refused(stranger.try_ask(&taken).await, &TAKEN, "an id in use");
    assert_eq!(client.interrupt(&mine).await, Some(Interruption::Requested));
}

/// A key that cannot be kept is refused before anything is begun; the longest one is kept.
pub async fn p10_a_key_that_cannot_be_kept_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let longest = "\u{1f600}".repeat(63) + "abc";
    assert_eq!(longest.len(), 255);
    for key in ["", "a\0b", &format!("{longest}d")] {
        let begin = asking(Some(key));
        let refused = client.try_ask(&begin).await;
        assert!(
            matches!(&refused, Err(RepositoryError::Invalid { pointer, .. }) if pointer == "/idempotency_key"),
            "{key:?}: {refused:?}"
        );
        assert_eq!(client.interrupt(&begin).await, None, "nothing was begun");
    }
    let begin = asking(Some(&longest));
    assert_eq!(client.ask(&begin).await, Begun::Started(target(&begin)));
    assert_in_progress(&client.ask(&asking(Some(&longest))).await, "the longest key");
    // Not folded, trimmed or normalised.
    for other in [" k", "k ", "K", "k"] {
        let begin = asking(Some(other));
        assert_eq!(client.ask(&begin).await, Begun::Started(target(&begin)), "{other:?} is a key of its own");
    }
}
