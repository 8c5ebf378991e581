//! How long ago something was, the way people say it.

use chrono::{DateTime, Utc};

use super::text::count;

/// The time from `then` to `now`: `just now`, `3 minutes ago`, `yesterday`, `4 months ago`.
pub(crate) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    const UNITS: [(i64, &str); 5] =
        [(365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
    // Another machine's clock may be ahead of ours: that is no reason to speak of the future.
    let seconds = (now - then).num_seconds();
    match UNITS.iter().find(|(unit_seconds, _)| seconds >= *unit_seconds) {
        None => "just now".into(),
        Some((86_400, _)) if seconds < 2 * 86_400 => "yesterday".into(),
        Some((unit_seconds, unit)) => {
            let number = u64::try_from(seconds / unit_seconds).unwrap_or(0);
            format!("{} ago", count(number, unit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn times_are_said_the_way_people_say_them() {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1000);
        for (seconds, expected) in [
            (-90, "just now"),
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3_599, "59 minutes ago"),
            (3_600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "yesterday"),
            (2 * 86_400, "2 days ago"),
            (45 * 86_400, "1 month ago"),
            (364 * 86_400, "12 months ago"),
            (800 * 86_400, "2 years ago"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), expected);
        }
    }
}
