//! Clients that go away in the middle of their requests, and what the next one waits for.

use std::time::Duration;

use lcs_tests::chaos::dice::Dice;
use lcs_tests::chaos::http::Http;
use lcs_tests::chaos::replica::{Append, Conversation, Failure, Refusal, Replica};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::judgement::percentile;
use super::proxy::Proxy;
use super::run::Run;
use super::secret::Searched;
use super::server::Server;
use super::service::{Mode, Service};
use super::table::{Part, Requirement};

/// How many clients go away at a time; fewer than the pool has connections, so that who waits for one waits for
/// what somebody else has left behind.
const CLIENTS: u32 = 4;
/// How long after its beginning a request is given up at the latest: about twice what it takes.
const WITHIN: Duration = Duration::from_millis(4);
/// How long the next answer may take, its connection included, for 99 of 100.
const LIMIT: Duration = Duration::from_millis(50);
/// How many undisturbed answers are timed before.
const UNDISTURBED: u64 = 200;

/// What one client came to.
#[derive(Debug, Default)]
struct Went {
    /// How many requests were answered before it went away.
    answered: usize,
    /// How many turns stand elsewhere than once each, without gaps.
    misplaced: usize,
    next_us: Vec<u64>,
    undisturbed_us: Vec<u64>,
}

/// So many requests are given up in their middle. After each, the next one is timed.
pub(crate) async fn cancellations(run: &Run) -> Result<Part, Failure> {
    let server = Server::start().await?;
    let proxy = Proxy::start(server.address()).await?;
    let home = run.home("cancellations", 0);
    let service = Service::new(&run.program, &home, proxy, &server.database(), Mode::Refuse)?;
    service.process.start().await?;
    let each = run.bar.cancellations.div_ceil(u64::from(CLIENTS));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let replica = Http::new(service.process.address.clone());
        clients.spawn(goes_away(replica, run.seed, number, each));
    }
    let mut all = Went::default();
    while let Some(client) = clients.join_next().await {
        let went = client??;
        all.answered += went.answered;
        all.misplaced += went.misplaced;
        all.next_us.extend(went.next_us);
        all.undisturbed_us.extend(went.undisturbed_us);
    }
    let waited_s = service.process.metric("lcs_pool_wait_seconds_total").await?;
    let (open, inconsistent) = server.left_over().await?;
    service.process.stop().await?;
    let mut searched: Searched = service.process.searched()?;
    searched.take_log(service.process.search(), &server.log());
    let p99 = Duration::from_micros(percentile(&all.next_us, 99));
    let undisturbed = Duration::from_micros(percentile(&all.undisturbed_us, 99));
    let cancelled = all.next_us.len().saturating_sub(all.answered);
    let text = format!(
        "{} requests given up within {WITHIN:?}, {} of them answered before; all calls together waited {waited_s:.3} s \
         for a connection of the pool",
        all.next_us.len(),
        all.answered
    );
    let found = format!(
        "{} ({cancelled} before their answer): {open} open transactions, {inconsistent} rows that do not fit, {} \
         turns not once",
        all.next_us.len(),
        all.misplaced,
    );
    let holds = u64::try_from(all.next_us.len())? >= run.bar.cancellations
        && cancelled * 4 >= all.next_us.len()
        && (open, inconsistent, all.misplaced) == (0, 0, 0);
    let what = format!("{} cancellations: nothing stays open, each turn once", run.bar.cancellations);
    let whole = Requirement::new("R7", what, found, holds);
    let found = format!(
        "p99 {p99:.1?}, at most {:.1?} (undisturbed p99 {undisturbed:.1?})",
        Duration::from_micros(percentile(&all.next_us, 100)),
    );
    let what = format!("the next answer after a cancellation, checkout included: p99 {LIMIT:?}");
    let next = Requirement::new("R7", what, found, !all.next_us.is_empty() && p99 <= LIMIT);
    // A machine that is too slow for it without any cancellation shows nothing of them.
    let next = if undisturbed > LIMIT { next.told() } else { next };
    let requirements = vec![whole, next];
    Ok(Part { title: "cancellations".into(), text, requirements, searched })
}

/// Appends, goes away, and reads at once; in the end it looks for each of its turns.
async fn goes_away(replica: Http, seed: u64, number: u32, times: u64) -> Result<Went, Failure> {
    let mut dice = Dice::part(seed, u64::from(number));
    let (conversation, _) =
        replica.create(number, u64::from(number) + 1).await.map_err(|refusal| refused(&refusal))?;
    let mut went = Went::default();
    for _ in 0..UNDISTURBED {
        went.undisturbed_us.push(next(&replica, &conversation).await?);
    }
    let mut appends = Vec::new();
    for element in 1..=times {
        let append = Append::new(u64::from(number) * times + element, 10, None);
        let after = Duration::from_micros(dice.below(u64::try_from(WITHIN.as_micros())? + 1));
        if let Ok(answer) = timeout(after, replica.append(&conversation, &append)).await {
            answer.map_err(|refusal| refused(&refusal))?;
            went.answered += 1;
        }
        appends.push(append);
        went.next_us.push(next(&replica, &conversation).await?);
    }
    let mut turns = Vec::new();
    for append in &appends {
        let (placed, _) = replica.append(&conversation, append).await.map_err(|refusal| refused(&refusal))?;
        turns.extend(placed.turn);
    }
    turns.sort_unstable();
    went.misplaced = turns.iter().zip(1..).filter(|(turn, place)| *turn != place).count()
        + appends.len().saturating_sub(turns.len());
    Ok(went)
}

/// How long the next answer takes, in microseconds.
async fn next(replica: &Http, conversation: &Conversation) -> Result<u64, Failure> {
    let began = Instant::now();
    replica.read(conversation.user, conversation, None, 1).await.map_err(|refusal| refused(&refusal))?;
    Ok(u64::try_from(began.elapsed().as_micros())?)
}

fn refused(refusal: &Refusal) -> Failure {
    format!("an undisturbed service refused: {refusal:?}").into()
}
