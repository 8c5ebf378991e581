//! `serve`: the HTTP API, until the process is asked to end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lcs_app::configuration::StoreConfiguration;
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router, serve};
use lcs_app::llama_stack::LlamaStack;
use lcs_app::{PersistenceManager, erasure_task, monitor_task, retention_task, telemetry};
use lcs_domain::audit::AuditHash;
use lcs_domain::{Actor, AuditAction, AuditDetail, AuditQuery, NewAuditEvent, PageLimit};
use lcs_storage::sqlite::{SqliteConfig, SqliteFile};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::stop::Stop;
use crate::output::note;

#[derive(Args)]
pub(super) struct Serve {
    /// Listen at this address [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Listen at this port; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
}

/// How long storing what was cut off may take at least.
const STORING: Duration = Duration::from_secs(5);

/// How long a start waits until it is recorded.
const RECORDING: Duration = Duration::from_secs(2);

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "write a number from 0 to 65535")
}

/// Where it listens, as `--json` prints it.
#[derive(Serialize)]
struct Listening {
    url: String,
}

impl Serve {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let Context { mut configuration, mut output, .. } = context;
        let mut config = configuration.service.clone();
        config.host = self.host.unwrap_or(config.host);
        config.port = self.port.unwrap_or(config.port);
        config.check().map_err(|problem| anyhow!(problem))?;
        configuration.service = config.clone();
        let authenticator = authenticator(&config.authentication).map_err(|problem| anyhow!(problem))?;
        telemetry::install();
        let llama_stack = configuration.llama_stack.as_ref().filter(|config| config.history_fallback);
        let llama_stack = llama_stack.map(LlamaStack::new).transpose()?;
        let mut stop = Stop::listen();
        let address = (config.host.as_str(), config.port);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen at {}:{}: write another --host or --port", config.host, config.port)
        })?;
        let address = listener.local_addr().context("it is not known where it listens")?;
        let store = described(&configuration.store);
        if is_secured(&configuration.store) && config.retention_interval.take().is_some() {
            note(
                "Row-level security is on: this role removes nothing that is idle; run cleanup as the operator.",
            );
        }
        let fingerprint = configuration.fingerprint();
        let started = tokio::select! {
            started = PersistenceManager::builder(configuration).start() => started,
            () = stop.requested() => return Ok(ExitCode::SUCCESS),
        };
        let started = started?;
        record_configuration(&started, fingerprint).await;
        let service =
            Service::new(started, authenticator, llama_stack).with_operator(config.operator.as_ref());
        let url = format!("http://{address}");
        if output.is_json() {
            output.json(&Listening { url: url.clone() })?;
        } else {
            output.line(&format!(
                "Listening at {url}, with the API shown at {url}/docs, until Ctrl-C. The conversations are in {store}"
            ))?;
        }
        let shutdown = CancellationToken::new();
        let upkeep = tokio::spawn(telemetry::upkeep());
        let retention = config.retention_interval.map(|interval| {
            tokio::spawn(retention_task::run(service.manager().clone(), interval, shutdown.clone()))
        });
        if let Some(interval) = config.monitoring_interval {
            tokio::spawn(monitor_task::run(service.manager().clone(), interval, shutdown.clone()));
        }
        let erasure = tokio::spawn(erasure_task::run(
            service.manager().clone(),
            erasure_task::LOOK_INTERVAL,
            shutdown.clone(),
        ));
        let served = serve(listener, guarded(router(service.clone()), &config), &config, shutdown.clone());
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            ended = &mut served => ended,
            () = stop.requested() => {
                note("Finishing what was accepted; Ctrl-C again ends at once.");
                shutdown.cancel();
                let asked = Instant::now();
                let finish = async {
                    let ended = served.await;
                    // Answers whose callers have gone, or were cut off just now, are stored as well.
                    let left = config.shutdown_timeout.saturating_sub(asked.elapsed()).max(STORING);
                    if timeout(left, service.finish()).await.is_err() {
                        note("error: some answers took too long and were given up: they are not stored");
                    }
                    ended
                };
                tokio::select! {
                    ended = finish => ended,
                    () = stop.requested() => bail!("ended at once: answers that were not finished may be lost"),
                }
            }
        };
        upkeep.abort();
        erasure.abort();
        shutdown.cancel();
        // Retention, and what was cut off of operators' requests, give up what they are at in archives.
        let letting_go = async {
            if let Some(retention) = retention {
                let _ = retention.await;
            }
            service.manager().archives().let_go_in_time().await;
        };
        tokio::select! {
            () = letting_go => {}
            () = stop.requested() => {}
        }
        ended.context("the server failed")?;
        let waiting = service.manager().journal().map_or(0, |journal| journal.last_status().entries);
        if waiting > 0 {
            note(&format!(
                "error: in the journal and not in the database yet: {waiting}; start again, so that it is stored there"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Records that the service is started with another configuration than the last time, as far as it can be known:
/// where the log cannot be read, each start is recorded, and that it is not compared. No start fails by it, and none waits for long.
async fn record_configuration(manager: &PersistenceManager, fingerprint: AuditHash) {
    let repositories = manager.repositories();
    let changed = AuditAction::ConfigurationChanged;
    let detail = AuditDetail::default().hash("fingerprint", fingerprint);
    let recorded = async {
        let one = PageLimit::new(1)?;
        let last = AuditQuery { action: Some(changed), limit: one, ..AuditQuery::default() };
        let detail = match repositories.audit().records(last).await {
            Ok(last) if last.last().is_some_and(|last| last.detail == detail) => return Ok(()),
            Ok(_) => detail,
            Err(_) => detail.word("compared", "no"),
        };
        let event = NewAuditEvent { detail, ..NewAuditEvent::done(Actor::service(), changed) };
        repositories.audit().record(event).await
    };
    match timeout(RECORDING, recorded).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error, "the start is not in the audit log"),
        Err(_) => tracing::warn!("the start is not in the audit log: the database took too long"),
    }
}

/// Whether row-level security shows the service one user's rows at a time.
fn is_secured(store: &StoreConfiguration) -> bool {
    matches!(store, StoreConfiguration::Postgresql(config) if config.row_level_security)
}

/// Where the conversations are, for people.
fn described(store: &StoreConfiguration) -> String {
    match store {
        StoreConfiguration::Postgresql(_) => "PostgreSQL".to_owned(),
        StoreConfiguration::Sqlite(SqliteConfig { file: SqliteFile::Path(path), .. }) => {
            path.display().to_string()
        }
        StoreConfiguration::Sqlite(_) | StoreConfiguration::Memory => "memory only".to_owned(),
    }
}
