//! Answers: JSON, with a word on how durable what they speak of is (P8).

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Timelike, Utc};
use http::{HeaderName, HeaderValue, StatusCode};
use lcs_domain::Durability;
use serde::Serialize;

/// The header that says how durable what an answer speaks of is: `durable`, `journaled` or `volatile`.
pub(super) static DURABILITY: HeaderName = HeaderName::from_static("persistence-durability");

/// How a header says it.
#[must_use]
pub(super) fn durability_value(durability: Durability) -> HeaderValue {
    HeaderValue::from_static(durability.as_str())
}

/// A JSON answer that speaks of what is stored.
#[derive(Debug)]
pub(super) struct Stored<T> {
    /// Its status.
    pub(super) status: StatusCode,
    /// How durable what it speaks of is.
    pub(super) durability: Durability,
    /// Its body.
    pub(super) body: T,
}

impl<T> Stored<T> {
    /// An answer of status 200.
    pub(super) const fn ok(durability: Durability, body: T) -> Self {
        Self { status: StatusCode::OK, durability, body }
    }
}

impl<T: Serialize> IntoResponse for Stored<T> {
    fn into_response(self) -> Response {
        let headers = [(DURABILITY.clone(), durability_value(self.durability))];
        (self.status, headers, Json(self.body)).into_response()
    }
}

/// A time as LCS's v1 lists write it: Python's `isoformat`, which leaves out a fraction of zero.
#[must_use]
pub(super) fn iso_format(time: DateTime<Utc>) -> String {
    let fraction = if time.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
    time.format(&format!("%Y-%m-%dT%H:%M:%S{fraction}+00:00")).to_string()
}

/// A time as LCS's histories write it.
#[must_use]
pub(super) fn zulu_format(time: DateTime<Utc>) -> String {
    let fraction = if time.nanosecond() == 0 { "" } else { "%.6f" };
    time.format(&format!("%Y-%m-%dT%H:%M:%S{fraction}Z")).to_string()
}

/// A time as LCS's v2 lists write it: seconds since 1970.
#[must_use]
pub(super) fn timestamp(time: DateTime<Utc>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay exact until the year 2255")]
    let micros = time.timestamp_micros() as f64;
    micros / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_lcs_writes_them() {
        let time = DateTime::from_timestamp_micros(1_795_333_153_126_200).unwrap();
        assert_eq!(iso_format(time), "2026-11-22T07:39:13.126200+00:00");
        assert_eq!(zulu_format(time), "2026-11-22T07:39:13.126200Z");
        assert!((timestamp(time) - 1_795_333_153.126_2).abs() < 1e-9);
        let whole = DateTime::from_timestamp(1_795_333_153, 0).unwrap();
        assert_eq!(iso_format(whole), "2026-11-22T07:39:13+00:00");
        assert_eq!(zulu_format(whole), "2026-11-22T07:39:13Z");
    }
}
