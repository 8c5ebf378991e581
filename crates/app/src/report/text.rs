//! Numbers and times the way people read them.

use chrono::{DateTime, Utc};

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same in few signs: `950`, `1.2k`, `3.4M`.
pub(crate) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| number >= *unit) else {
        return number.to_string();
    };
    let tenths = number / (unit / 10);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 || whole >= 100 { format!("{whole}{name}") } else { format!("{whole}.{tenth}{name}") }
}

/// `about 1,234` where it is an estimate.
pub(crate) fn about(number: u64, is_estimate: bool) -> String {
    if is_estimate { format!("about {}", count(number)) } else { count(number) }
}

/// So many milliseconds: `840 ms`, `1.2 s`, `3 min`.
pub(crate) fn milliseconds(number: f64) -> String {
    match number {
        number if number < 10.0 => format!("{number:.1} ms"),
        number if number < 1_000.0 => format!("{number:.0} ms"),
        number if number < 60_000.0 => format!("{:.1} s", number / 1_000.0),
        number => format!("{:.0} min", number / 60_000.0),
    }
}

/// A share of 1: `12 %`.
pub(crate) fn share(number: f64) -> String {
    let percent = number * 100.0;
    if percent > 0.0 && percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A time in UTC, to the minute.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The same for a column whose heading says that it is UTC.
pub(crate) fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// A time in UTC, to the second.
pub(crate) fn second(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `number` as a double: what it loses is nothing that is seen in a plot.
#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
pub(crate) const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let short = [950, 1_000, 1_250, 12_000, 123_456, 3_400_000, 2_000_000_000].map(short);
        assert_eq!(short, ["950", "1k", "1.2k", "12k", "123k", "3.4M", "2G"]);
        assert_eq!(
            [0.42, 12.0, 840.4, 1_250.0, 200_000.0].map(milliseconds),
            ["0.4 ms", "12 ms", "840 ms", "1.2 s", "3 min"]
        );
        assert_eq!([0.0, 0.051, 0.5, 1.0].map(share), ["0 %", "5.1 %", "50 %", "100 %"]);
    }
}
