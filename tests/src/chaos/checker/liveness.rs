//! L12: answers come again when the database is there again, and nothing is left open. And while it is not
//! there, nothing is said to be durable.

use std::collections::BTreeMap;

use super::{Kind, Verdict};
use crate::chaos::history::{Event, NO_REPLICA, Record};

/// The longest that a replica may be without an answer while its database is there.
pub const LIMIT_NS: u64 = 5_000_000_000;

pub(super) fn check(records: &[Record], verdict: &mut Verdict) {
    // Answers that a replica gave, by when they were asked for and given.
    let mut answers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut accepting = Vec::new();
    let mut outages = Vec::new();
    let mut last_ns = 0;
    let mut durable = Vec::new();
    for record in records {
        match &record.event {
            Event::Fault(_) => faults.push((record.invoke_ns, record.replica)),
            Event::Outage => outages.push((record.invoke_ns, record.return_ns)),
            Event::Accepting => accepting.push((record.return_ns, record.replica)),
            Event::Ended { idle_in_transaction, inconsistent } => {
                ended(*idle_in_transaction, *inconsistent, verdict);
            }
            event if is_answered(event) => {
                durable.push((record.invoke_ns, record.return_ns));
                answers.entry(record.replica).or_default().push(record.return_ns);
                last_ns = last_ns.max(record.return_ns);
            }
            _ => {}
        }
    }
    for answers in answers.values_mut() {
        answers.sort_unstable();
    }
    faults.sort_unstable();
    for (from_ns, to_ns) in outages {
        let lies = durable.iter().filter(|(asked, answered)| *asked > from_ns && *answered < to_ns).count();
        if lies > 0 {
            let what = format!("{lies} answers said durable while there was no database");
            verdict.add(Kind::DurabilityLie, 0, what);
        }
    }
    for (from_ns, replica) in accepting {
        // Until the next fault that could have kept this replica from answering.
        let hits = |of: u32| of == replica || of == NO_REPLICA;
        let next = faults.iter().find(|(at_ns, of)| *at_ns > from_ns && hits(*of)).map(|(at_ns, _)| *at_ns);
        let of = answers.get(&replica).map_or(&[][..], Vec::as_slice);
        let first = of.get(of.partition_point(|at_ns| *at_ns <= from_ns)).copied();
        match first {
            Some(at_ns) if next.is_none_or(|next| at_ns < next) => {
                verdict.recoveries_ms.push((at_ns - from_ns) / 1_000_000);
            }
            _ => {}
        }
        let until = first.unwrap_or(u64::MAX).min(next.unwrap_or(last_ns));
        if until.saturating_sub(from_ns) > LIMIT_NS {
            let what = format!(
                "replica {replica} had its database and gave no answer for {} ms",
                (until - from_ns) / 1_000_000
            );
            verdict.add(Kind::Liveness, 0, what);
        }
    }
}

/// Whether the operation was acknowledged by the database.
fn is_answered(event: &Event) -> bool {
    match event {
        Event::Create(outcome) | Event::Delete(outcome) => outcome.durable().is_some(),
        Event::Append { outcome, .. } => outcome.durable().is_some(),
        Event::Read(outcome) => outcome.durable().is_some(),
        Event::State(outcome) => outcome.durable().is_some(),
        Event::Put { outcome, .. } => outcome.durable().is_some(),
        Event::List(outcome) => outcome.durable().is_some(),
        _ => false,
    }
}

fn ended(idle_in_transaction: u64, inconsistent: u64, verdict: &mut Verdict) {
    if idle_in_transaction > 0 {
        let what = format!("{idle_in_transaction} transactions stand open in the end");
        verdict.add(Kind::Liveness, 0, what);
    }
    if inconsistent > 0 {
        verdict.add(Kind::Torn, 0, format!("{inconsistent} rows do not fit together"));
    }
}
