//! Exactly once: stopped at any step, by a crash or by a failure, it comes to the same.
//!
//! Each process is a runtime of its own, and dies with all of its tasks when that is dropped. What it
//! leaves are the fakes: the database and the disk.

use std::collections::BTreeSet;

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{ConversationUpdate, NewConversation, Text};

use super::super::super::fake::Blow;
use super::*;

/// What clients do in one outage, and what another replica does meanwhile.
struct Plan {
    user_id: UserId,
    /// In the database before the outage.
    stored: Vec<NewConversation>,
    /// Asked of the fallback while the primary is gone.
    asked: Vec<Ask>,
    /// Done in the database before it is replayed.
    elsewhere: Vec<Ask>,
}

#[derive(Clone)]
enum Ask {
    Create(NewConversation),
    Append(AppendTurn),
    Save(SaveAgentState),
    Update(ConversationId, ConversationUpdate),
}

impl Plan {
    fn new() -> Self {
        let user_id = UserId::from_text("the owner");
        let stored: Vec<_> = (0..5).map(|_| new_conversation()).collect();
        let fresh = new_conversation();
        let made: Vec<_> = stored.iter().chain([&fresh]).map(conversation).collect();
        let [plain, moved, stateful, archived, odd, begun] = &made[..] else { unreachable!() };
        let topic = Some(Some(Text::summary("outages", "/topic_summary").unwrap()));
        let topic = ConversationUpdate { topic_summary: topic, ..ConversationUpdate::default() };
        let archive =
            ConversationUpdate { status: Some(OpenStatus::Archived), ..ConversationUpdate::default() };
        let unseen = |made: &Conversation| Ask::Append(append(made.conversation_id));
        let asked = vec![
            Ask::Create(fresh.clone()),
            unseen(plain),
            Ask::Append(with_state(begun, 0, 0)),
            Ask::Append(with_state(moved, 0, 0)),
            Ask::Append(with_state(begun, 1, 1)),
            Ask::Append(with_state(stateful, 0, 0)),
            Ask::Save(state(begun, 2, 2)),
            Ask::Append(with_state(plain, 1, 0)),
            Ask::Append(with_state(moved, 1, 1)),
            Ask::Update(begun.conversation_id, topic),
            unseen(archived),
            Ask::Append(append(ConversationId::generate())),
            Ask::Append(with_state(stateful, 1, 1)),
            unseen(begun),
            unseen(odd),
            unseen(stateful),
            Ask::Append(with_state(&Conversation { agent_id: begun.agent_id, ..odd.clone() }, 1, 0)),
            unseen(moved),
        ];
        let elsewhere = vec![
            Ask::Append(with_state(moved, 0, 0)),
            Ask::Save(state(stateful, 0, 0)),
            Ask::Update(archived.conversation_id, archive),
        ];
        Self { user_id, stored, asked, elsewhere }
    }

    fn prepare(&self) -> (Arc<Fuse>, Arc<Fake>, Arc<FakeJournal>) {
        let fuse = Arc::new(Fuse::default());
        let primary = Arc::new(Fake::with_fuse(Arc::clone(&fuse)));
        process(async {
            for new in &self.stored {
                self.ask(&*primary, Ask::Create(new.clone())).await.unwrap();
            }
        });
        let journal = FakeJournal::with_fuse(Arc::clone(&fuse));
        (fuse, primary, Arc::new(journal))
    }

    async fn ask(&self, store: &dyn Repositories, ask: Ask) -> Result<(), RepositoryError> {
        let user_id = self.user_id;
        match ask {
            Ask::Create(new) => store.conversations().create(user_id, new).await.map(drop),
            Ask::Append(append) => store.turns().append(user_id, append).await.map(drop),
            Ask::Save(save) => store.agent_states().save(user_id, save).await.map(drop),
            Ask::Update(id, update) => store.conversations().update(user_id, id, update).await.map(drop),
        }
    }

    /// Asks for everything that is not acknowledged yet, again where it failed, as a client does that has
    /// keys. It gives up where a conversation cannot be seen any more in this outage.
    async fn ask_all(&self, stage: &Stage, acknowledged: &mut usize) {
        let mut is_retry = *acknowledged > 0;
        let mut patience = 5;
        while let Some(ask) = self.asked.get(*acknowledged) {
            match self.ask(&*stage.fallback, ask.clone()).await {
                Ok(()) => {}
                // A state has no key: the client would read it, and find its own.
                Err(RepositoryError::Conflict { .. }) if is_retry && matches!(ask, Ask::Save(_)) => {}
                Err(error) if error.is_retryable() => {
                    patience -= 1;
                    if patience == 0 {
                        return;
                    }
                    is_retry = true;
                    continue;
                }
                Err(error) => panic!("the {acknowledged}-th: {error}"),
            }
            *acknowledged += 1;
            is_retry = false;
        }
    }

    async fn meanwhile(&self, primary: &Fake) {
        primary.fail_with(None);
        for ask in &self.elsewhere {
            self.ask(primary, ask.clone()).await.unwrap();
        }
        primary.fail_with(Some(unavailable));
    }
}

fn conversation(new: &NewConversation) -> Conversation {
    Fake::default().create_now(UserId::from_text("the owner"), new.clone())
}

/// Runs as a process of its own: nothing of it goes on behind it.
fn process<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(run)
}

/// What there is in the end, in words to compare: the database, and what is an operator's.
fn end(primary: &Fake, journal: &FakeJournal) -> (Vec<String>, BTreeSet<String>) {
    assert!(journal.entries().is_empty());
    let conflicts = journal.all_conflicts();
    let words: BTreeSet<_> = conflicts
        .iter()
        .map(|conflict| match &conflict.entry.operation {
            JournalOperation::Append(append) => format!("append {}", append.turn.turn_id()),
            JournalOperation::Save(save) => {
                format!("save {} {} {:?}", save.agent_id, save.expected_revision, save.current_state)
            }
            other => format!("{} {}", other.kind(), other.conversation_id()),
        })
        .collect();
    assert_eq!(words.len(), conflicts.len(), "none of them twice");
    (primary.described(), words)
}

async fn dead(fuse: &Fuse) {
    while !fuse.is_dead() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs until the fuse has blown, or the circuit is closed.
async fn until_dead_or_closed(stage: &Stage, fuse: &Fuse) {
    tokio::select! {
        () = stage.closed() => {}
        () = dead(fuse) => {}
    }
}

/// The outage is over, and the replay is stopped as `blows` says, one process after the other. Gives the
/// end, and the steps of the last process.
fn replay(plan: &Plan, blows: &[Option<(u64, Blow)>]) -> ((Vec<String>, BTreeSet<String>), u64) {
    let (fuse, primary, journal) = plan.prepare();
    let mut blows = blows.iter().copied();
    process(async {
        let stage = Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await;
        stage.outage().await;
        plan.ask_all(&stage, &mut 0).await;
        plan.meanwhile(&primary).await;
        fuse.set(blows.next().flatten());
        primary.fail_with(None);
        until_dead_or_closed(&stage, &fuse).await;
    });
    while fuse.is_dead() {
        fuse.set(blows.next().flatten());
        process(async {
            let start = async {
                // One that cannot read its journal does not start, and is started again.
                loop {
                    if let Ok(stage) = Stage::try_over(Arc::clone(&primary), Arc::clone(&journal)).await {
                        until_dead_or_closed(&stage, &fuse).await;
                        return;
                    }
                }
            };
            tokio::select! {
                () = start => {}
                () = dead(&fuse) => {}
            }
        });
    }
    (end(&primary, &journal), fuse.steps())
}

#[test]
fn p8_a_replay_that_is_stopped_at_any_step_comes_to_the_same() {
    let plan = Plan::new();
    let (expected, steps) = replay(&plan, &[None]);
    assert!(steps > 60, "{steps} steps");
    assert_eq!(expected.1.len(), 7, "{:#?}", expected.1);
    for step in 1..=steps {
        for blow in [Blow::Crash, Blow::Fail] {
            let (found, _) = replay(&plan, &[Some((step, blow))]);
            assert_eq!(found, expected, "{blow:?} at step {step} of {steps}");
        }
    }
}

#[test]
fn p8_a_replay_that_is_stopped_again_and_again_comes_to_the_same() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122_u64);
    println!("SEED={seed}");
    let plan = Plan::new();
    let (expected, steps) = replay(&plan, &[None]);
    // A linear congruence is chance enough here.
    let mut state = seed;
    let mut chance = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..100 {
        let mut blows = Vec::new();
        for _ in 0..=chance(6) {
            let blow = if chance(4) == 0 { Blow::Fail } else { Blow::Crash };
            blows.push(Some((chance(steps / 2) + 1, blow)));
        }
        let (found, _) = replay(&plan, &blows);
        assert_eq!(found, expected, "seed {seed}, round {round}: {blows:?}");
    }
}

/// The process is stopped while it takes writes; clients ask again for what nobody acknowledged.
#[test]
fn p8_an_outage_that_is_stopped_at_any_step_loses_nothing_that_was_acknowledged() {
    let plan = Plan::new();
    let run = |blow: Option<(u64, Blow)>| {
        let (fuse, primary, journal) = plan.prepare();
        let mut acknowledged = 0;
        process(async {
            let stage = Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await;
            stage.outage().await;
            fuse.set(blow);
            tokio::select! {
                () = plan.ask_all(&stage, &mut acknowledged) => {}
                () = dead(&fuse) => {}
            }
        });
        let steps = fuse.steps();
        fuse.set(None);
        let on_disk: Vec<_> = journal.entries();
        assert!(on_disk.len() >= acknowledged, "{acknowledged} acknowledged, {} on the disk", on_disk.len());
        process(async {
            let stage = Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await;
            stage.outage().await;
            plan.ask_all(&stage, &mut acknowledged).await;
            assert_eq!(acknowledged, plan.asked.len());
            plan.meanwhile(&primary).await;
            stage.recovery().await;
        });
        (end(&primary, &journal), steps)
    };
    let (expected, steps) = run(None);
    assert!(steps >= 2 * plan.asked.len() as u64, "{steps} steps");
    for step in 1..=steps {
        for blow in [Blow::Crash, Blow::Fail] {
            assert_eq!(run(Some((step, blow))).0, expected, "{blow:?} at step {step} of {steps}");
        }
    }
}

/// Done, and the process is stopped before it knows: what was changed since is not undone.
#[test]
fn p4_an_update_that_is_stopped_at_any_step_never_overwrites_a_newer_one() {
    let status = |status| ConversationUpdate { status: Some(status), ..ConversationUpdate::default() };
    let run = |blow: Option<(u64, Blow)>| {
        let fuse = Arc::new(Fuse::default());
        let primary = Arc::new(Fake::with_fuse(Arc::clone(&fuse)));
        let journal = Arc::new(FakeJournal::with_fuse(Arc::clone(&fuse)));
        let made = process(async {
            let stage = Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await;
            stage.outage().await;
            let made = stage.begin().await;
            let id = made.conversation_id;
            stage
                .fallback
                .conversations()
                .update(stage.user_id, id, status(OpenStatus::Archived))
                .await
                .unwrap();
            fuse.set(blow);
            primary.fail_with(None);
            until_dead_or_closed(&stage, &fuse).await;
            made
        });
        let steps = fuse.steps();
        fuse.set(None);
        let is_done = primary.described().iter().any(|words| words.contains("archived"));
        process(async {
            if is_done {
                let conversations = primary.conversations();
                let newer = status(OpenStatus::Active);
                conversations.update(made.user_id, made.conversation_id, newer).await.unwrap();
            }
            Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await.closed().await;
        });
        let is_archived = primary.described().iter().any(|words| words.contains("archived"));
        assert_eq!(is_archived, !is_done, "{blow:?}");
        (steps, is_done, journal.all_conflicts())
    };
    let (steps, is_done, conflicts) = run(None);
    assert_eq!((is_done, conflicts), (true, vec![]));
    let mut undecided = 0;
    for step in 1..=steps {
        let (_, is_done, conflicts) = run(Some((step, Blow::Crash)));
        undecided += conflicts.len();
        assert!(is_done || conflicts.is_empty(), "step {step}: {conflicts:?}");
    }
    assert!(undecided > 0, "it was never stopped between doing and knowing");
}

/// A turn without a state comes late, and the process is stopped behind it: what the restarted one finds must
/// not take the state that follows for one that has seen the turns before it.
#[test]
fn p4_a_state_behind_a_late_turn_is_refused_wherever_the_replay_is_stopped() {
    let run = |blow: Option<(u64, Blow)>| {
        let fuse = Arc::new(Fuse::default());
        let primary = Arc::new(Fake::with_fuse(Arc::clone(&fuse)));
        let journal = Arc::new(FakeJournal::with_fuse(Arc::clone(&fuse)));
        let id = process(async {
            let stage = Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await;
            stage.outage().await;
            let new = new_conversation();
            let made = stage.fallback.conversations().create(stage.user_id, new.clone()).await.unwrap();
            stage.append(append(made.conversation_id)).await.unwrap();
            stage.fallback.agent_states().save(stage.user_id, state(&made, 0, 1)).await.unwrap();
            // The conversation had come to the database, and another replica was first.
            primary.create_now(stage.user_id, new);
            stage.elsewhere(append(made.conversation_id)).await;
            fuse.set(blow);
            primary.fail_with(None);
            until_dead_or_closed(&stage, &fuse).await;
            made.conversation_id
        });
        let steps = fuse.steps();
        fuse.set(None);
        process(async {
            Stage::over(Arc::clone(&primary), Arc::clone(&journal)).await.closed().await;
        });
        let late: Vec<_> = primary.turns_of(id).iter().map(Turn::is_late).collect();
        assert_eq!(late, [false, true], "{blow:?}");
        let state = process(primary.agent_states().get_by_conversation(UserId::from_text("the owner"), id));
        assert!(state.unwrap().is_none(), "it says to have seen turn 1, and has seen turn 2: {blow:?}");
        assert_eq!(end(&primary, &journal).1.len(), 1, "it is an operator's: {blow:?}");
        steps
    };
    for step in 1..=run(None) {
        run(Some((step, Blow::Crash)));
        run(Some((step, Blow::Fail)));
    }
}
