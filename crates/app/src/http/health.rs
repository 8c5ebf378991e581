//! Whether the process lives, and whether it can serve.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use lcs_agent_cache::FallbackMode;
use lcs_agent_cache::fallback::CircuitState;
use lcs_storage::migration::MigrationStatus;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::service::Service;

/// How long the database may take to answer before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a finding is good for: probes by many do not become a load of their own.
const FRESH: Duration = Duration::from_secs(1);

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LivenessAnswer {
    /// It does, or there would be no answer.
    alive: bool,
}

/// Whether the service can serve.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ReadinessAnswer {
    /// Whether it can.
    ready: bool,
    /// Why, or why not.
    reason: String,
    /// `healthy`, `degraded` or `unhealthy`.
    overall_status: Status,
    /// What does not work, where something does not.
    impacts: Option<Vec<String>>,
    /// What it depends on.
    providers: Vec<ProviderStatus>,
}

/// How well the service, or what it depends on, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// All is well.
    Healthy,
    /// It serves, and not everything works.
    Degraded,
    /// It does not serve.
    Unhealthy,
}

/// How well something that the service depends on is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProviderStatus {
    /// What it is: `database`, `migrations` or `fallback`.
    provider_id: String,
    /// How well it is.
    status: Status,
    /// The same in words.
    message: String,
}

/// The last finding, and when it was made.
#[derive(Debug, Clone, Default)]
pub(super) struct Readiness(Arc<Mutex<Option<(Instant, ReadinessAnswer)>>>);

/// Whether the process lives. It asks nobody: a database that is gone is no reason to restart a process.
#[utoipa::path(
    get, path = "/liveness", tag = "service",
    responses((status = 200, description = "the process lives", body = LivenessAnswer)),
)]
pub(super) async fn liveness() -> Json<LivenessAnswer> {
    Json(LivenessAnswer { alive: true })
}

/// Whether the service can serve: whether the database answers, has the schema, and is written to.
#[utoipa::path(
    get, path = "/readiness", tag = "service",
    responses(
        (status = 200, description = "it can serve", body = ReadinessAnswer),
        (status = 503, description = "it cannot", body = ReadinessAnswer),
    ),
)]
pub(super) async fn readiness(State(service): State<Service>) -> Response {
    let answer = service.readiness().await;
    let status = if answer.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(answer)).into_response()
}

impl Service {
    async fn readiness(&self) -> ReadinessAnswer {
        // One look at a time; who comes meanwhile gets what it finds.
        let mut last = self.last_readiness().0.lock().await;
        if let Some((at, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            tracing::trace!(age_ms = at.elapsed().as_millis(), "readiness is still known");
            return answer.clone();
        }
        let answer = self.look().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn look(&self) -> ReadinessAnswer {
        let database = self.database_status().await;
        let migrations = match database.status {
            Status::Healthy => self.migration_status().await,
            _ => provider("migrations", Status::Unhealthy, "not known while the database is gone"),
        };
        let database = match migrations.status {
            Status::Healthy => self.allowed(database).await,
            _ => database,
        };
        let is_there = database.status == Status::Healthy && migrations.status == Status::Healthy;
        let fallback = self.fallback_status();
        // In these modes it goes on without a database, and says in each answer how durable that is.
        let mode = self.manager().fallback_status().mode;
        let goes_on = matches!(mode, FallbackMode::Memory | FallbackMode::Journal);
        let overall_status = match (is_there, fallback.status) {
            (true, Status::Healthy) => Status::Healthy,
            (true, _) => Status::Degraded,
            (false, Status::Degraded) if goes_on => Status::Degraded,
            (false, _) => Status::Unhealthy,
        };
        let providers = vec![database, migrations, fallback];
        let impacts: Vec<String> = providers
            .iter()
            .filter(|provider| provider.status != Status::Healthy)
            .map(|provider| format!("{}: {}", provider.provider_id, provider.message))
            .collect();
        let reason = match overall_status {
            Status::Healthy => "All that the service depends on is healthy".to_owned(),
            _ => impacts.join("; "),
        };
        ReadinessAnswer {
            ready: overall_status != Status::Unhealthy,
            reason,
            overall_status,
            impacts: (!impacts.is_empty()).then_some(impacts),
            providers,
        }
    }

    async fn database_status(&self) -> ProviderStatus {
        // Through the fallback: where the database is back, it is asked again before this says that it is.
        match timeout(PATIENCE, self.repositories().ping()).await {
            Ok(Ok(())) => provider("database", Status::Healthy, "it answers"),
            Ok(Err(error)) => provider("database", Status::Unhealthy, &error.to_string()),
            Err(_) => provider("database", Status::Unhealthy, &format!("no answer within {PATIENCE:?}")),
        }
    }

    /// A database that came after the start, or was changed since, may be one that the start refuses: users
    /// would not be kept apart as it is configured.
    async fn allowed(&self, database: ProviderStatus) -> ProviderStatus {
        match timeout(PATIENCE, self.manager().database().check_security(false)).await {
            Ok(Err(error)) => provider("database", Status::Unhealthy, &error.to_string()),
            _ => database,
        }
    }

    async fn migration_status(&self) -> ProviderStatus {
        match timeout(PATIENCE, self.manager().database().migration_status()).await {
            Ok(Ok(migrations)) => {
                match migrations.iter().filter(|migration| !is_current(migration)).count() {
                    0 => provider("migrations", Status::Healthy, "the schema is current"),
                    n => {
                        let message = format!(
                            "{n} not applied, or unknown to this program: run lcs-persistence migrate status"
                        );
                        provider("migrations", Status::Unhealthy, &message)
                    }
                }
            }
            Ok(Err(error)) => provider("migrations", Status::Unhealthy, &error.to_string()),
            Err(_) => provider("migrations", Status::Unhealthy, &format!("no answer within {PATIENCE:?}")),
        }
    }

    fn fallback_status(&self) -> ProviderStatus {
        let status = self.manager().fallback_status();
        if status.state == CircuitState::Closed {
            return provider("fallback", Status::Healthy, "not in use");
        }
        let kept = if status.mode == FallbackMode::Journal {
            let backlog = status.backlog;
            let oldest = backlog.oldest.map(|oldest| self.manager().clock().now() - oldest);
            let oldest = oldest.map_or_else(String::new, |age| {
                format!(", the oldest of them for {} s", age.num_seconds().max(0))
            });
            let is_replaying = status.state == CircuitState::Replaying;
            let doing = if is_replaying { "being replayed from the journal" } else { "in the journal" };
            format!("{doing}: {}{oldest}; conflicts {}", backlog.entries, backlog.conflicts)
        } else {
            let volatile = status.volatile;
            format!("in memory only: conversations {}, turns {}", volatile.conversations, volatile.turns)
        };
        let seconds = status.open_for.unwrap_or_default().as_secs_f64();
        let why = status.last_failure.map_or_else(String::new, |why| format!(" ({why})"));
        provider("fallback", Status::Degraded, &format!("in use for {seconds:.0} s{why}; {kept}"))
    }
}

/// Whether the database and this program have it both.
fn is_current(migration: &MigrationStatus) -> bool {
    migration.applied && migration.name != "unknown"
}

fn provider(id: &str, status: Status, message: &str) -> ProviderStatus {
    ProviderStatus { provider_id: id.to_owned(), status, message: message.to_owned() }
}
