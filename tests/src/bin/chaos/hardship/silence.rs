//! A server that does not answer: connects that nobody answers, and a server that is stopped.

use std::time::Duration;

use lcs_tests::chaos::replica::Failure;
use tokio::time::sleep;

use super::caller::{Caller, Liveness, Saw};
use super::{DEADLINE_S, Story, home};
use crate::process::Process;
use crate::proxy::{Passage, Proxy};
use crate::run::Run;
use crate::server::Server;
use crate::service::{Configuration, Mode, Service};

/// The deadline of an operation.
const DEADLINE: Duration = Duration::from_secs(DEADLINE_S);
/// What an answer may take beside the operation itself.
const BESIDE: Duration = Duration::from_secs(1);
/// How long the server is silent: longer than the deadline.
const SILENT: Duration = Duration::from_secs(DEADLINE_S + 2);

/// A service that refuses while its database is away, and its server behind a proxy.
async fn served(run: &Run, name: &str) -> Result<(Server, Service), Failure> {
    let server = Server::start().await?;
    let proxy = Proxy::start(server.address()).await?;
    let (home, database) = (home(run, name), server.database());
    let configuration =
        Configuration::new(&home, proxy.port, &database, Mode::Refuse).with_deadline(DEADLINE_S);
    let process = Process::new(&run.program, &home, &configuration.text()?, &[&database.password])?;
    process.start().await?;
    Ok((server, Service { proxy, process }))
}

/// The way to the server takes connections and answers none.
pub(super) async fn black_hole(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let (server, service) = served(run, "black-hole").await?;
    let mut caller = Caller::begin(&service.process).await?;
    let (_, saw) = caller.say(100).await;
    story.promise(saw.is_stored("durable"), "with its database, a turn is stored");
    let liveness = Liveness::watch(&service.process);
    service.proxy.set(Passage::BlackHole);
    let (element, first) = caller.say(100).await;
    let second = caller.say_again(element, 100).await;
    service.proxy.set(Passage::Open);
    recovers(story, &mut caller, element, [&first, &second], liveness, (&server, &service)).await
}

/// All of the server's processes stand still.
pub(super) async fn stopped(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let (server, service) = served(run, "stopped").await?;
    let mut caller = Caller::begin(&service.process).await?;
    let (_, saw) = caller.say(100).await;
    story.promise(saw.is_stored("durable"), "with its database, a turn is stored");
    let liveness = Liveness::watch(&service.process);
    let asks = async {
        // When all of its processes have stopped.
        sleep(Duration::from_millis(200)).await;
        let (element, first) = caller.say(100).await;
        let second = caller.say_again(element, 100).await;
        (element, first, second)
    };
    let (frozen, (element, first, second)) = tokio::join!(server.freeze(SILENT), asks);
    frozen?;
    recovers(story, &mut caller, element, [&first, &second], liveness, (&server, &service)).await
}

async fn recovers(
    story: &mut Story,
    caller: &mut Caller<'_>,
    element: u64,
    saw: [&Saw; 2],
    liveness: Liveness,
    (server, service): (&Server, &Service),
) -> Result<(), Failure> {
    let next = caller.until_durable().await?;
    let again = caller.say_again(element, 100).await;
    let (silent, lived) = liveness.end().await?;
    story.tell(format!("silent: {}, then {}", saw[0], saw[1]));
    story.promise(saw[0].is_unavailable(), "a silent server is 503 with Retry-After");
    story.promise(saw.iter().all(|saw| saw.took <= DEADLINE + BESIDE), "within the operation's deadline");
    story.tell(format!("answers again: {next}"));
    story.tell(format!("the same turn: {again}"));
    story.promise(again.is_stored("durable"), "the same turn is stored under its key");
    story.tell(lived);
    story.promise(silent == 0, "liveness is 200 throughout");
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or twice: {faults:?}"));
    let (open, inconsistent) = server.left_over().await?;
    story.promise((open, inconsistent) == (0, 0), "nothing is left open or half-written");
    service.process.stop().await?;
    story.search(&service.process, Some(server))?;
    Ok(())
}
