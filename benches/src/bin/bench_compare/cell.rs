//! A workload at a number of clients, in rounds.

use std::fmt;

use lcs_benches::Result;
use lcs_benches::protocol::Measurement;
use lcs_benches::workload::Workload;

use crate::options::Options;

/// What both came to, round by round.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) workload: Workload,
    pub(crate) concurrency: u64,
    pub(crate) rounds: Vec<Round>,
}

/// A slice of each.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) limit: Measurement,
    pub(crate) ours: Measurement,
}

impl Cell {
    /// Measures `workload`: `limit` and `ours` run a slice in each round of this seed, and one before the rounds
    /// without a seed, so that both are warm.
    pub(crate) fn measure(
        workload: Workload,
        concurrency: u64,
        options: &Options,
        mut limit: impl FnMut(Option<u64>) -> Result<Measurement>,
        mut ours: impl FnMut(Option<u64>) -> Result<Measurement>,
    ) -> Result<Self> {
        limit(None)?;
        ours(None)?;
        let mut rounds = Vec::new();
        for seed in 1..=options.rounds as u64 {
            rounds.push(if seed % 2 == 1 {
                let limit = limit(Some(seed))?;
                Round { limit, ours: ours(Some(seed))? }
            } else {
                let ours = ours(Some(seed))?;
                Round { limit: limit(Some(seed))?, ours }
            });
        }
        Ok(Self { workload, concurrency, rounds })
    }

    /// The median over the rounds of our rate by the limit's.
    pub(crate) fn ratio(&self) -> f64 {
        self.median(|round| Some(round.ours.ops_per_s / round.limit.ops_per_s)).unwrap_or_default()
    }

    /// The median over the rounds of what `of` gives.
    pub(crate) fn median(&self, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        let upper = values.get(values.len() / 2)?;
        let lower = values.get(values.len().saturating_sub(1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |of: fn(&Round) -> &Measurement| {
            self.median(|round| Some(of(round).ops_per_s)).unwrap_or_default()
        };
        write!(
            f,
            "{:<3} c={:<2} x{:.3}  ({:.0}/s, limit {:.0}/s)",
            self.workload,
            self.concurrency,
            self.ratio(),
            all(|round| &round.ours),
            all(|round| &round.limit),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        let of = |ops_per_s| Measurement { ops_per_s, ..Measurement::default() };
        let round = |limit, ours| Round { limit: of(limit), ours: of(ours) };
        let mut cell = Cell {
            workload: Workload::Append,
            concurrency: 1,
            rounds: vec![round(10.0, 20.0), round(100.0, 50.0), round(10.0, 10.0)],
        };
        assert!((cell.ratio() - 1.0).abs() < 1e-9);
        cell.rounds.pop();
        assert!((cell.ratio() - 1.25).abs() < 1e-9);
    }
}
