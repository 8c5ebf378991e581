//! How often what was done, and what came of it.

use std::collections::BTreeMap;

use crate::chaos::history::{Event, Outcome, Record};

/// The operations and faults of a history, counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// By operation and outcome.
    pub operations: BTreeMap<(&'static str, &'static str), usize>,
    /// By kind.
    pub faults: BTreeMap<String, usize>,
    /// Why operations were refused or not known, and how often.
    pub reasons: BTreeMap<String, usize>,
    /// Answers that no server may give.
    pub wrong: BTreeMap<String, usize>,
}

impl Tally {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut tally = Self::default();
        for record in records {
            match &record.event {
                Event::Create(outcome) => tally.count("create", outcome),
                Event::Append { outcome, .. } => tally.count("append", outcome),
                Event::Read(outcome) => tally.count("read", outcome),
                Event::State(outcome) => tally.count("state", outcome),
                Event::Put { outcome, .. } => tally.count("put", outcome),
                Event::List(outcome) => tally.count("list", outcome),
                Event::Delete(outcome) => tally.count("delete", outcome),
                Event::Fault(kind) => *tally.faults.entry(kind.clone()).or_default() += 1,
                _ => {}
            }
        }
        tally
    }

    fn count<T>(&mut self, operation: &'static str, outcome: &Outcome<T>) {
        *self.operations.entry((operation, outcome.word())).or_default() += 1;
        let (reasons, why) = match outcome {
            Outcome::Failed(why) | Outcome::Unknown(why) => (&mut self.reasons, why),
            Outcome::Wrong(why) => (&mut self.wrong, why),
            Outcome::Ok(..) | Outcome::Absent | Outcome::Gone => return,
        };
        *reasons.entry(why.clone()).or_default() += 1;
    }

    /// How many operations of this kind came to this.
    #[must_use]
    pub fn of_outcome(&self, operation: &str, outcome: &str) -> usize {
        let of = self.operations.iter().filter(|((one, other), _)| *one == operation && *other == outcome);
        of.map(|(_, count)| count).sum()
    }
}
