//! What a run came to, as a table: what was done, what was found, and which of the requirements hold.

use std::fmt::Write as _;
use std::time::Duration;

use lcs_tests::chaos::checker::Verdict;

use super::phase::Phase;
use super::service::Mode;

/// The table of a run.
pub(crate) struct Table {
    seed: u64,
    faults: Option<(Duration, Verdict)>,
    phases: Vec<Phase>,
    /// How many lines of the replicas' logs show what they must not.
    secrets: usize,
}

/// A requirement, what it asks for, and what there was.
struct Requirement {
    id: &'static str,
    what: &'static str,
    found: String,
    holds: bool,
    /// Whether the run fails without it. How much was done says how fast the machine is, and not whether a
    /// promise was kept.
    decides: bool,
}

impl Table {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, faults: None, phases: Vec::new(), secrets: 0 }
    }

    /// Takes what the faults came to, which lasted this long.
    pub(crate) fn faults(&mut self, lasted: Duration, verdict: Verdict, secrets: usize) {
        self.secrets += secrets;
        self.faults = Some((lasted, verdict));
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        self.secrets += phase.secrets;
        self.phases.push(phase);
    }

    /// Whether every requirement holds that decides.
    pub(crate) fn passed(&self) -> bool {
        self.requirements().iter().all(|requirement| requirement.holds || !requirement.decides)
    }

    fn requirements(&self) -> Vec<Requirement> {
        let of_faults = self.faults.iter().flat_map(|(lasted, verdict)| of_faults(*lasted, verdict));
        let secrets = Requirement {
            id: "R14",
            what: "no password, and nothing that was said, in a log",
            found: format!("{} lines", self.secrets),
            holds: self.secrets == 0,
            decides: true,
        };
        of_faults.chain(self.phases.iter().map(of_phase)).chain([secrets]).collect()
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("\nseed {}\n", self.seed);
        self.write(&mut text).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if let Some((lasted, verdict)) = &self.faults {
            writeln!(text, "\n== {} s of faults\n", lasted.as_secs())?;
            write_verdict(text, verdict)?;
        }
        for phase in &self.phases {
            writeln!(text, "\n== {}\n", phase.name)?;
            write_verdict(text, &phase.verdict)?;
        }
        writeln!(text, "\n== requirements\n")?;
        for Requirement { id, what, found, holds, decides } in self.requirements() {
            let result = match (holds, decides) {
                (true, _) => "pass",
                (false, true) => "FAIL",
                (false, false) => "less",
            };
            writeln!(text, "  {result} {id:<4} {what}: {found}")?;
        }
        Ok(())
    }
}

/// What is asked of a failover, and of an outage.
fn of_phase(phase: &Phase) -> Requirement {
    let Verdict { anomalies, tally, .. } = &phase.verdict;
    let wrong: usize = tally.wrong.values().sum();
    let appends = |outcome| tally.of_outcome("append", outcome);
    let (durable, journaled, volatile) = (appends("ok"), appends("journaled"), appends("volatile"));
    let found = format!(
        "{} anomalies, {wrong} wrong answers; {durable} durable, {journaled} journaled ({} of them after an \
         operator's retry), {volatile} volatile",
        anomalies.len(),
        phase.retried
    );
    // Without its own kind of acknowledgement nothing was shown.
    let (id, what, is_shown) = match phase.mode {
        None => ("R9", "failover to a synchronous standby: nothing durable is lost", true),
        Some(Mode::Refuse) => {
            ("R10", "refuse: every write is 503 with Retry-After", journaled + volatile == 0)
        }
        Some(Mode::Memory) => ("R10", "memory: every answer is marked, no false empty history", volatile > 0),
        Some(Mode::Journal) => ("R10", "journal: nothing is lost, nothing is twice", journaled > 0),
    };
    let holds = anomalies.is_empty() && wrong == 0 && durable > 0 && is_shown;
    Requirement { id, what, found, holds, decides: true }
}

fn of_faults(lasted: Duration, verdict: &Verdict) -> Vec<Requirement> {
    let Verdict { anomalies, tally, recoveries_ms } = verdict;
    // A shorter run has to come to its part of what is asked of two minutes.
    let part = |whole: u64| whole * lasted.as_secs() / 120;
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let (faults, kinds) = (tally.faults.values().sum::<usize>(), tally.faults.len());
    let fewest = tally.faults.values().copied().min().unwrap_or_default();
    let acknowledged = tally.of_outcome("append", "ok");
    let unknown: usize = ["create", "append", "put", "delete"]
        .iter()
        .map(|operation| tally.of_outcome(operation, "unknown"))
        .sum();
    let (p95, max) = (percentile(recoveries_ms, 95), percentile(recoveries_ms, 100));
    let wrong: usize = tally.wrong.values().sum();
    vec![
        Requirement {
            id: "R1",
            what: "60 faults of 10 kinds, each 3 times",
            found: format!("{faults} of {kinds} kinds, each at least {fewest} times"),
            holds: faults >= count(part(60)) && (kinds >= 10 && fewest >= count(part(3))),
            decides: true,
        },
        Requirement {
            id: "R2",
            what: "20,000 acknowledged appends",
            found: acknowledged.to_string(),
            holds: acknowledged >= count(part(20_000)),
            decides: false,
        },
        Requirement {
            id: "R3",
            what: "no anomaly",
            found: anomalies.len().to_string(),
            holds: anomalies.is_empty(),
            decides: true,
        },
        Requirement {
            id: "R3",
            what: "no answer that no server may give",
            found: wrong.to_string(),
            holds: wrong == 0,
            decides: true,
        },
        Requirement {
            id: "R4",
            what: "at most 0.1 % of outcomes unknown in the end",
            found: unknown.to_string(),
            holds: unknown * 1_000 <= acknowledged,
            decides: true,
        },
        Requirement {
            id: "R5",
            what: "recovery: p95 2 s, at most 5 s",
            found: format!("{} recoveries, p95 {p95} ms, at most {max} ms", recoveries_ms.len()),
            holds: p95 <= 2_000 && max <= 5_000,
            decides: true,
        },
    ]
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
fn percentile(values: &[u64], percent: usize) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}
