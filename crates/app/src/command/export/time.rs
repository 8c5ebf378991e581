//! A time on the command line: a day, or a point in time with its zone.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// The time that `text` says; a day begins at midnight, in UTC.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>, &'static str> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let day: Result<NaiveDate, _> = text.parse();
    day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .map_err(|_| "write a day like 2026-01-31, in UTC, or a time with its zone like 2026-01-31T12:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_and_a_time_has_a_zone() {
        let shown = |text| parse(text).unwrap().to_rfc3339();
        assert_eq!(shown("2026-01-31"), "2026-01-31T00:00:00+00:00");
        assert_eq!(shown("2026-01-31T12:00:00+02:00"), "2026-01-31T10:00:00+00:00");
        for text in ["", "yesterday", "2026-01-31T12:00:00", "2026-02-30", "31.1.2026"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
