//! Faults, one after the other, while clients work; then a last look.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::{PageLimit, RetentionPolicy, RetentionRepository};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_tests::chaos::client::Client;
use lcs_tests::chaos::history::{self, Event, History, NO_REPLICA, Record};
use lcs_tests::chaos::http::Http;
use lcs_tests::chaos::replica::{Failure, Replica};
use lcs_tests::chaos::workload::{Plan, World};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::fault::{Fault, Planned, schedule};
use super::proxy::{Passage, Proxy};
use super::run::Run;
use super::secret::Searched;
use super::server::Server;
use super::service::{Mode, Service};

const REPLICAS: usize = 2;
const CLIENTS: u32 = 32;
/// How many appends or answers a fault cuts off.
const CUTS: u32 = 3;
/// How long is waited for something to cut off.
const PATIENCE: Duration = Duration::from_secs(2);
/// The conversations that retention is let loose on at a time.
const IDLE: u64 = 4;
/// The clients that cancel their requests, and how many each of them cancels.
const CANCELLERS: u32 = 8;
const CANCELLATIONS: usize = 5;

/// Everything that a run needs.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) services: Vec<Service>,
    pub(crate) world: Arc<World>,
    /// The history's file.
    history: PathBuf,
}

impl Stage {
    /// A server, replicas before it that serve, and an empty history.
    pub(crate) async fn set(run: &Run, name: &str, plan: Plan, mode: Mode) -> Result<Self, Failure> {
        let server = Server::start().await?;
        let mut services = Vec::new();
        for number in 0..REPLICAS {
            let proxy = Proxy::start(server.address()).await?;
            let home = run.home(name, number);
            services.push(Service::new(&run.program, &home, proxy, &server.database(), mode)?);
        }
        Self::over(run, name, plan, server, services).await
    }

    /// The same over a server and replicas that do not serve yet.
    pub(crate) async fn over(
        run: &Run,
        name: &str,
        plan: Plan,
        server: Server,
        services: Vec<Service>,
    ) -> Result<Self, Failure> {
        for service in &services {
            service.process.start().await?;
        }
        let history = run.folder.join(format!("history-{name}.jsonl"));
        let world = Arc::new(World::new(plan, History::create(&history)?));
        Ok(Self { server, services, world, history })
    }

    /// What the clients have seen so far.
    pub(crate) fn records(&self) -> Result<Vec<Record>, Failure> {
        history::read(&self.history)
    }

    /// The replica of this number.
    pub(crate) fn service(&self, number: usize) -> Result<&Service, Failure> {
        Ok(self.services.get(number).ok_or("there is no such replica")?)
    }

    /// The replicas, each reached on a connection of its own.
    pub(crate) fn replicas(&self) -> Vec<Arc<dyn Replica>> {
        self.services
            .iter()
            .map(|service| Arc::new(Http::new(service.process.address.clone())) as _)
            .collect()
    }

    pub(crate) fn client(&self, number: u32) -> Client {
        Client::new(number, &self.world, self.replicas())
    }

    /// Begins a conversation in each place, and has clients work.
    pub(crate) async fn clients(&self) -> Result<JoinSet<Result<(), Failure>>, Failure> {
        let mut first = self.client(1_000);
        for index in 0..self.world.plan.conversations {
            first.create(index).await?;
        }
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(self.client(number).run());
        }
        for replica in 0..self.services.len() {
            clients.spawn(self.client(CLIENTS + u32::try_from(replica)?).probe(replica));
        }
        Ok(clients)
    }

    /// Inflicts faults for as long as this, by the seed's schedule: gives what was inflicted.
    pub(crate) async fn faults(&self, lasts: Duration) -> Result<Vec<Planned>, Failure> {
        let until = Instant::now() + lasts;
        let mut inflicted = Vec::new();
        for planned in schedule(self.world.plan.seed) {
            sleep(planned.pause).await;
            if Instant::now() >= until {
                break;
            }
            self.inflict(planned).await.map_err(|error| format!("{}: {error}", planned.fault.label()))?;
            inflicted.push(planned);
        }
        Ok(inflicted)
    }

    async fn inflict(&self, planned: Planned) -> Result<(), Failure> {
        let (history, server) = (&self.world.history, &self.server);
        let Planned { fault, lasts, .. } = planned;
        let service = self.service(planned.replica)?;
        let from_ns = history.now_ns();
        match fault {
            Fault::TerminateOne => server.terminate(Some(1)).await?,
            Fault::TerminateThree => server.terminate(Some(3)).await?,
            Fault::TerminateAll => server.terminate(None).await?,
            Fault::KillBackend => server.kill_backend().await?,
            Fault::RestartServer => server.restart().await?,
            Fault::KillServer => {
                server.kill().await?;
                sleep(lasts).await;
                server.start_again().await?;
            }
            Fault::FreezeServer => server.freeze(lasts).await?,
            Fault::CutReply => service.proxy.cut_replies(CUTS),
            Fault::CutRequest => service.proxy.cut_requests(CUTS),
            Fault::ResetMidRow => service.proxy.reset(CUTS),
            Fault::BlackHole | Fault::RefusedConnections => {
                let is_refused = fault == Fault::RefusedConnections;
                service.proxy.set(if is_refused { Passage::Refused } else { Passage::BlackHole });
                sleep(lasts).await;
                service.proxy.set(Passage::Open);
            }
            Fault::Latency => {
                service.proxy.delay(planned.latency);
                sleep(lasts).await;
                service.proxy.delay(Duration::ZERO);
            }
            Fault::KillReplica => {
                service.process.kill().await?;
                sleep(lasts).await;
                service.process.start().await?;
            }
            Fault::RestartReplica => {
                service.process.stop().await?;
                service.process.start().await?;
            }
            Fault::Retention => self.retention().await?,
            Fault::Cancellations => self.cancellations().await?,
        }
        let began = Instant::now();
        while !service.proxy.is_done() {
            if began.elapsed() > PATIENCE {
                return Err("nothing came that could have been cut off".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        server.until_accepting().await?;
        let replica = if fault.is_of_the_server() { NO_REPLICA } else { u32::try_from(planned.replica)? };
        history.note(replica, 0, from_ns, Event::Fault(fault.label().to_owned()))?;
        for number in 0..u32::try_from(self.services.len())? {
            if fault.is_of_the_server() || number == replica {
                history.note(number, 0, history.now_ns(), Event::Accepting)?;
            }
        }
        Ok(())
    }

    /// Has retention run while conversations that it would remove are woken up.
    async fn retention(&self) -> Result<(), Failure> {
        let history = &self.world.history;
        let mut client = self.client(1_001);
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            let number = self.world.conversation();
            let user = u32::try_from(number % u64::from(self.world.plan.users))?;
            idle.extend(client.begin(user, number).await?);
        }
        for conversation in &idle {
            client.append(usize::MAX, conversation, None, false).await?;
        }
        let from_ns = history.now_ns();
        self.server.age(&idle.iter().map(|one| one.id.clone()).collect::<Vec<_>>()).await?;
        for conversation in &idle {
            history.note(NO_REPLICA, conversation.number, from_ns, Event::Aged)?;
        }
        let wakes = tokio::spawn({
            let (mut client, woken) = (self.client(1_002), idle.clone());
            async move {
                for conversation in woken.iter().skip(1).cycle().take(woken.len() * 2) {
                    client.append(usize::MAX, conversation, None, false).await?;
                }
                Ok::<_, Failure>(())
            }
        });
        let store = Postgres::connect(PostgresConfig::from_url(self.server.url())?).await?;
        let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(1))?;
        let purge = async || {
            let from_ns = history.now_ns();
            let report = store.purge_batch(policy, PageLimit::new(2)?).await?;
            for purged in report.purged {
                let id = purged.conversation_id.to_string();
                if let Some(conversation) = idle.iter().find(|one| one.id == id) {
                    history.note(NO_REPLICA, conversation.number, from_ns, Event::Purged)?;
                }
            }
            Ok::<_, Failure>(())
        };
        for _ in 0..3 {
            purge().await?;
        }
        wakes.await??;
        // What is still idle must not be left to a later fault of this kind, which does not know it.
        while store.count_due(policy).await? > 0 {
            purge().await?;
        }
        for conversation in &idle {
            client.read(usize::MAX, conversation, None, 1).await?;
        }
        Ok(())
    }

    async fn cancellations(&self) -> Result<(), Failure> {
        let mut clients = JoinSet::new();
        for number in 0..CANCELLERS {
            let (mut client, world) = (self.client(2_000 + number), Arc::clone(&self.world));
            clients.spawn(async move {
                for index in
                    (usize::try_from(number)?..world.plan.conversations).step_by(8).take(CANCELLATIONS)
                {
                    if let Some(conversation) = world.slot(index).conversation {
                        client.append(index, &conversation, None, true).await?;
                    }
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        Ok(())
    }

    /// Stops the replicas, and searches all that they and the server have said for what they must not.
    pub(crate) async fn stop(&self) -> Result<Searched, Failure> {
        let mut searched = Searched::default();
        for service in &self.services {
            service.process.stop().await?;
            searched += service.process.searched()?;
        }
        if let Some(service) = self.services.first() {
            searched.take_log(service.process.search(), &self.server.log());
        }
        Ok(searched)
    }

    /// Has the clients end, and looks at everything that there is.
    pub(crate) async fn last_look(&self, mut clients: JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
        self.world.stop();
        while let Some(client) = clients.join_next().await {
            client??;
        }
        self.client(1_004).last_look().await?;
        let (idle_in_transaction, inconsistent) = self.server.left_over().await?;
        let from_ns = self.world.history.now_ns();
        let ended = Event::Ended { idle_in_transaction, inconsistent };
        self.world.history.note(NO_REPLICA, 0, from_ns, ended)
    }
}
