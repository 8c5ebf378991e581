//! `serve`: the HTTP API, until the process is asked to end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lcs_app::configuration::StoreConfiguration;
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router, serve};
use lcs_app::llama_stack::LlamaStack;
use lcs_app::{PersistenceManager, retention_task, telemetry};
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
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// How long storing what was cut off may take at least.
const STORING: Duration = Duration::from_secs(5);

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
        let started = tokio::select! {
            started = PersistenceManager::builder(configuration).start() => started,
            () = stop.requested() => return Ok(ExitCode::SUCCESS),
        };
        let service = Service::new(started?, authenticator, llama_stack);
        let url = format!("http://{address}");
        if output.is_json() {
            output.json(&Listening { url: url.clone() })?;
        } else {
            output.line(&format!("Listening at {url}, with the conversations in {store}. The API is shown at {url}/docs. Ctrl-C ends."))?;
        }
        let shutdown = CancellationToken::new();
        let upkeep = tokio::spawn(telemetry::upkeep());
        let retention = config.retention_interval.map(|interval| {
            tokio::spawn(retention_task::run(service.manager().clone(), interval, shutdown.clone()))
        });
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
        if let Some(retention) = retention {
            retention.abort();
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
