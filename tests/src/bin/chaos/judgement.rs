//! What a checker's verdict means for the requirements, and how it is shown.

use std::fmt::Write as _;

use lcs_tests::chaos::checker::{Anomaly, Verdict};

use super::bar::Bar;
use super::resource::Resources;
use super::service::Mode;
use super::table::Requirement;

/// How many anomalies stand in the line of their requirement.
const SHOWN: usize = 4;

/// What is asked of the faults, which lasted for so many seconds.
pub(crate) fn of_faults(
    bar: &Bar,
    seconds: u64,
    verdict: &Verdict,
    resources: &Resources,
) -> Vec<Requirement> {
    let Verdict { anomalies, tally, recoveries_ms } = verdict;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let (faults, kinds) = (count(tally.faults.values().sum()), count(tally.faults.len()));
    let fewest = count(tally.faults.values().copied().min().unwrap_or_default());
    let acknowledged = count(tally.of_outcome("append", "ok"));
    let unknown: usize = ["create", "append", "put", "delete"]
        .iter()
        .map(|operation| tally.of_outcome(operation, "unknown"))
        .sum();
    let (p95, max) = (percentile(recoveries_ms, 95), percentile(recoveries_ms, 100));
    let wrong: usize = tally.wrong.values().sum();
    let holds = faults >= bar.part(bar.faults, seconds)
        && (kinds >= bar.kinds && fewest >= bar.part(bar.each, seconds));
    vec![
        Requirement::new(
            "R1",
            format!("{} faults of {} kinds, each {} times", bar.faults, bar.kinds, bar.each),
            format!("{faults} of {kinds} kinds, each at least {fewest} times, in {seconds} s"),
            holds,
        ),
        Requirement::new(
            "R2",
            format!("{} acknowledged appends", bar.appends),
            acknowledged.to_string(),
            acknowledged >= bar.part(bar.appends, seconds),
        )
        .told(),
        Requirement::new("R3", "no anomaly", listed(anomalies), anomalies.is_empty()),
        Requirement::new("R3", "no answer that no server may give", wrong.to_string(), wrong == 0),
        Requirement::new(
            "R4",
            "at most 0.1 % of outcomes unknown in the end",
            unknown.to_string(),
            count(unknown) * 1_000 <= acknowledged,
        ),
        Requirement::new(
            "R5",
            "recovery: p95 2 s, at most 5 s",
            format!("{} recoveries, p95 {p95} ms, at most {max} ms", recoveries_ms.len()),
            !recoveries_ms.is_empty() && p95 <= 2_000 && max <= 5_000,
        ),
        resources.requirement(bar),
    ]
}

/// What is asked of an outage.
pub(crate) fn of_outage(mode: Mode, verdict: &Verdict, retried: usize) -> Requirement {
    let (is_sound, found) = sound(verdict, retried);
    let appends = |outcome| verdict.tally.of_outcome("append", outcome);
    let (journaled, volatile) = (appends("journaled"), appends("volatile"));
    // Without its own kind of acknowledgement nothing was shown.
    let (what, is_shown) = match mode {
        Mode::Refuse => ("refuse: every write is 503 with Retry-After", journaled + volatile == 0),
        Mode::Memory => ("memory: every answer is marked, no false empty history", volatile > 0),
        Mode::Journal => ("journal: nothing is lost, nothing is twice", journaled > 0),
    };
    Requirement::new("R10", what, found, is_sound && is_shown)
}

/// Whether nothing was wrong and something was done, and in words.
pub(crate) fn sound(verdict: &Verdict, retried: usize) -> (bool, String) {
    let Verdict { anomalies, tally, .. } = verdict;
    let wrong: usize = tally.wrong.values().sum();
    let appends = |outcome| tally.of_outcome("append", outcome);
    let (durable, journaled, volatile) = (appends("ok"), appends("journaled"), appends("volatile"));
    let found = format!(
        "anomalies {}, {wrong} wrong answers; {durable} durable, {journaled} journaled ({retried} of them after \
         an operator's retry), {volatile} volatile",
        listed(anomalies),
    );
    (anomalies.is_empty() && wrong == 0 && durable > 0, found)
}

/// How many anomalies there are and, where the whole output may be cut off, the first of them.
fn listed(anomalies: &[Anomaly]) -> String {
    let first: Vec<String> = anomalies.iter().take(SHOWN).map(ToString::to_string).collect();
    if first.is_empty() { "0".into() } else { format!("{}: {}", anomalies.len(), first.join("; ")) }
}

/// Everything that the checker counted and found.
pub(crate) fn shown(verdict: &Verdict) -> String {
    let mut text = String::new();
    write_verdict(&mut text, verdict).unwrap_or_default();
    text
}

fn write_verdict(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let Verdict { anomalies, tally, .. } = verdict;
    writeln!(text, "faults")?;
    for (kind, count) in &tally.faults {
        writeln!(text, "{count:>9}  {kind}")?;
    }
    writeln!(text, "\noperations")?;
    for ((operation, outcome), count) in &tally.operations {
        writeln!(text, "{count:>9}  {operation} {outcome}")?;
    }
    writeln!(text, "\nwhy operations failed, or were not known")?;
    for (why, count) in tally.reasons.iter().chain(&tally.wrong) {
        writeln!(text, "{count:>9}  {why}")?;
    }
    writeln!(text, "\nanomalies")?;
    for (kind, count) in verdict.counts() {
        writeln!(text, "{count:>9}  {}", kind.label())?;
    }
    for anomaly in anomalies.iter().take(30) {
        writeln!(text, "           {anomaly}")?;
    }
    Ok(())
}

/// The value that so many of a hundred are within.
pub(crate) fn percentile(values: &[u64], percent: usize) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(
            (percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)),
            (100, 198, 200)
        );
        assert_eq!((percentile(&[7], 99), percentile(&[], 99)), (7, 0));
    }

    #[test]
    fn an_outage_without_an_acknowledgement_of_its_kind_shows_nothing() {
        let mut verdict = Verdict::default();
        verdict.tally.operations.insert(("append", "ok"), 3);
        assert!(!of_outage(Mode::Journal, &verdict, 0).holds && !of_outage(Mode::Memory, &verdict, 0).holds);
        assert!(of_outage(Mode::Refuse, &verdict, 0).holds);
        verdict.tally.operations.insert(("append", "journaled"), 1);
        assert!(of_outage(Mode::Journal, &verdict, 0).holds && !of_outage(Mode::Refuse, &verdict, 0).holds);
    }
}
