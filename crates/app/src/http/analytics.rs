//! The operator's figures, as a document and as a page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use lcs_domain::{AnalyticsWindow, RepositoryError};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::Mutex;
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

/// The last report, and when it was made.
#[derive(Debug, Default)]
pub(super) struct LastReport(Mutex<Option<(Instant, AnalyticsWindow, Arc<Report>)>>);

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
        let mut last = self.last_report().0.lock().await;
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
