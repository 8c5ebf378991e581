//! The operator's figures, as a document and as a page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lcs_domain::{AnalyticsWindow, RepositoryError};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::operator::Operator;
use super::parameter::Parameters;
use super::refusal::{Forbidden, NoOperator, Refusal};
use super::service::Service;
use crate::report::{CacheReport, Report};

/// How long a report is good for: reloading a page is no load on the database.
const FRESH: Duration = Duration::from_secs(5);

/// How many wait for a report at once: whoever comes beyond is refused. Each may have another window, and a look of its own.
const WAITING: usize = 8;

/// The last report, and when it was made.
#[derive(Debug)]
pub(super) struct LastReport {
    last: Mutex<Option<(Instant, AnalyticsWindow, Arc<Report>)>>,
    waiting: Semaphore,
}

impl Default for LastReport {
    fn default() -> Self {
        Self { last: Mutex::default(), waiting: Semaphore::new(WAITING) }
    }
}

/// How far to look back.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes the parameter, which is read as a text")]
#[into_params(parameter_in = Query)]
pub(super) struct WindowParameter {
    /// How many days the window has, in UTC; the last is today.
    #[param(minimum = 1, maximum = 366, default = 30)]
    days: Option<u32>,
}

/// How much is stored, how it grows, and how the database is doing. Counts, ids and times only.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnalyticsAnswer {
    /// `since`, `at`; `conversations` by status, begun in the window, and their messages; `turns`, their latency,
    /// tokens and marks; `users`; `days`, `models` and `largest` conversations; the `retention`'s forecast. Where
    /// `looked_at.share` is below 1, a part of the table was looked at and counts are scaled up.
    #[schema(value_type = Object)]
    analytics: Map<String, Value>,
    /// The database's `bytes`, `tables`, `indexes`, `connections`, `transaction_ids` and `statements`, or its
    /// `file`. What a store does not know is null or empty.
    #[schema(value_type = Object)]
    database: Map<String, Value>,
    /// What is to be said of the database: each with `check`, `severity` (ok, warning, error), `detail`, `remedy`.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Map<String, Value>>,
    /// This process's agents in memory: `hits`, `misses`, `coalesced`, `agents`, `hit_ratio`.
    #[schema(value_type = Option<Object>)]
    cache: Option<Map<String, Value>>,
}

/// How much is stored, how it grows, and how the database is doing: for the operator, where one is configured.
#[utoipa::path(
    get, path = "/v1/analytics", tag = "operator",
    params(WindowParameter),
    responses((status = 200, description = "the figures", body = AnalyticsAnswer), Refusal, Forbidden, NoOperator),
)]
pub(super) async fn analytics(
    _operator: Operator,
    State(service): State<Service>,
    parameters: Parameters,
) -> Result<Json<Arc<Report>>, ApiError> {
    service.report(parameters).await.map(Json)
}

impl Service {
    /// The report of this window, made lately.
    pub(super) async fn report(&self, mut parameters: Parameters) -> Result<Arc<Report>, ApiError> {
        let days = parameters.parsed("days", "write a number of days from 1 to 366").map(|days: u32| {
            let window = AnalyticsWindow::of_days(days);
            if window.is_err() {
                parameters.problem("days", "write a number of days from 1 to 366", &days.to_string());
            }
            window.unwrap_or_default()
        });
        parameters.end()?;
        let window = days.unwrap_or_default();
        // One look at a time: who comes meanwhile waits for it, and mostly gets what it finds.
        let Ok(_waiting) = self.last_report().waiting.try_acquire() else {
            let cause = "As many as may be wait for a report already: try again later";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Too busy", cause));
        };
        let mut last = self.last_report().last.lock().await;
        if let Some((_, _, report)) =
            last.as_ref().filter(|(at, of, _)| *of == window && at.elapsed() < FRESH)
        {
            return Ok(Arc::clone(report));
        }
        let report = self.manager().analytics().report(window).await;
        let mut report = report.map_err(|error| match error {
            RepositoryError::Denied { reason } => {
                ApiError::new(StatusCode::FORBIDDEN, "The service's database role may not", reason)
            }
            error => ApiError::of_repository(&error, None),
        })?;
        report.cache = Some(CacheReport::from(&self.manager().agent_manager().cache_metrics()));
        let report = Arc::new(report);
        *last = Some((Instant::now(), window, Arc::clone(&report)));
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts as _;
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;
    use crate::PersistenceManager;
    use crate::configuration::{Configuration, StoreConfiguration};
    use crate::http::authentication::authenticator;

    #[tokio::test]
    async fn one_report_is_made_at_a_time_and_few_wait_for_it() {
        let configuration = Configuration::new(StoreConfiguration::Memory);
        let authenticator = authenticator(&configuration.service.authentication).unwrap();
        let manager = PersistenceManager::builder(configuration).initialize().await.unwrap();
        let service = Service::new(manager, authenticator, None);
        let report = async |days: usize| {
            let request = http::Request::get(format!("/?days={days}")).body(()).unwrap();
            let parameters = Parameters::from_request_parts(&mut request.into_parts().0, &()).await.unwrap();
            service.report(parameters).await
        };
        let making = service.last_report().last.lock().await;
        let mut waiting: Vec<_> = (1..=WAITING).map(|days| Box::pin(report(days))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none(), "it waits for the one that is made");
        }
        let refused = report(1).await.unwrap_err();
        assert_eq!(
            (refused.status(), refused.detail().response.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "Too busy")
        );
        drop(making);
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert!(report(1).await.is_ok(), "there is room again");
    }
}
