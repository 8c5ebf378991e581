//! What every endpoint works with: the services, and who may ask them.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts as RequestParts;
use lcs_domain::agent::AgentRuntime;
use lcs_domain::{Clock, Repositories, UserId};
use tokio_util::task::TaskTracker;

use super::analytics::LastReport;
use super::authentication::{Authenticator, Identity};
use super::console::{Looks, Readings};
use super::denial::Denials;
use super::error::ApiError;
use super::health::Readiness;
use super::in_flight::InFlight;
use super::operator::OperatorKeys;
use crate::PersistenceManager;
use crate::configuration::OperatorConfig;
use crate::llama_stack::LlamaStack;

/// The service behind the HTTP API. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    parts: Arc<Parts>,
    operator: Option<Arc<OperatorKeys>>,
}

struct Parts {
    manager: PersistenceManager,
    authenticator: Arc<dyn Authenticator>,
    llama_stack: Option<LlamaStack>,
    in_flight: InFlight,
    tasks: TaskTracker,
    readiness: Readiness,
    denials: Denials,
    last_report: LastReport,
    readings: Readings,
    looks: Looks,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("manager", &self.parts.manager).finish_non_exhaustive()
    }
}

impl Service {
    /// The service over `manager`, for those whom `authenticator` knows; `llama_stack` is asked for
    /// conversations that the store does not have. It has to be made inside a Tokio runtime.
    #[must_use]
    pub fn new(
        manager: PersistenceManager,
        authenticator: Arc<dyn Authenticator>,
        llama_stack: Option<LlamaStack>,
    ) -> Self {
        let in_flight = InFlight::new(manager.repositories(), manager.request_lease());
        let parts = Parts {
            manager,
            authenticator,
            llama_stack,
            in_flight,
            tasks: TaskTracker::new(),
            readiness: Readiness::default(),
            denials: Denials::default(),
            last_report: LastReport::default(),
            readings: Readings::default(),
            looks: Looks::default(),
        };
        Self { parts: Arc::new(parts), operator: None }
    }

    /// The same with an operator, if one is configured: without one his endpoints are not there.
    #[must_use]
    pub fn with_operator(mut self, operator: Option<&OperatorConfig>) -> Self {
        self.operator = operator.map(|config| Arc::new(OperatorKeys::new(config)));
        self
    }

    /// All services over the store.
    #[must_use]
    pub fn manager(&self) -> &PersistenceManager {
        &self.parts.manager
    }

    pub(super) fn repositories(&self) -> Arc<dyn Repositories> {
        self.parts.manager.repositories()
    }

    pub(super) fn runtime(&self) -> &Arc<dyn AgentRuntime> {
        self.parts.manager.runtime()
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.parts.manager.clock()
    }

    pub(super) fn llama_stack(&self) -> Option<&LlamaStack> {
        self.parts.llama_stack.as_ref()
    }

    pub(super) fn in_flight(&self) -> &InFlight {
        &self.parts.in_flight
    }

    pub(super) fn operator_keys(&self) -> Option<&OperatorKeys> {
        self.operator.as_deref()
    }

    pub(super) fn last_report(&self) -> &LastReport {
        &self.parts.last_report
    }

    pub(super) fn readings(&self) -> &Readings {
        &self.parts.readings
    }

    pub(super) fn looks(&self) -> &Looks {
        &self.parts.looks
    }

    pub(super) fn last_readiness(&self) -> &Readiness {
        &self.parts.readiness
    }

    pub(super) fn denials(&self) -> &Denials {
        &self.parts.denials
    }

    /// The tasks that run on when their caller goes away: they are finished before the process ends.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.parts.tasks
    }

    /// Waits for what has been accepted, and takes nothing more.
    pub async fn finish(&self) {
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
    }
}

/// Who asks: an endpoint that takes one answers only those who have shown who they are.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Identity);

impl Caller {
    /// Whose conversations may be seen.
    #[must_use]
    pub(super) const fn user_id(&self) -> UserId {
        self.0.user_id
    }
}

impl FromRequestParts<Service> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut RequestParts, service: &Service) -> Result<Self, ApiError> {
        let identity = service.parts.authenticator.authenticate(parts).await;
        identity.map(Self).inspect_err(|error| service.deny(error.status()))
    }
}
