//! The processor's time, as Linux counts it.

use std::fs;

use crate::Result;

/// Linux counts it in hundredths of a second, on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of this process in seconds, in user and in system mode.
///
/// # Errors
/// A sentence, where `/proc` cannot be read.
pub fn own_seconds() -> Result<f64> {
    seconds(11)
}

/// The same of the processes that it has started and waited for.
///
/// # Errors
/// A sentence, where `/proc` cannot be read.
pub fn childrens_seconds() -> Result<f64> {
    seconds(13)
}

fn seconds(place: usize) -> Result<f64> {
    ticks(&fs::read_to_string("/proc/self/stat")?, place)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .ok_or_else(|| "/proc/self/stat is not as this program knows it".into())
}

/// The sum of two neighbours in a line of `/proc/PID/stat`, counted from behind the program's name: that stands
/// in parentheses and may hold anything.
fn ticks(stat: &str, place: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(place);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let line = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 7 8 20 0 1";
        assert_eq!((ticks(line, 11), ticks(line, 13)), (Some(300.0), Some(15.0)));
        assert!(own_seconds().unwrap() >= 0.0 && childrens_seconds().unwrap() >= 0.0);
    }
}
