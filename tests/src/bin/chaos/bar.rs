//! What is asked of a run: of the two minutes that every change passes, and of the soak.

/// How much has to be done, and shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    pub(crate) word: &'static str,
    /// For how long faults are inflicted; a shorter run has to come to its part of the counts.
    pub(crate) seconds: u64,
    pub(crate) faults: u64,
    pub(crate) kinds: u64,
    /// How often each kind.
    pub(crate) each: u64,
    pub(crate) appends: u64,
    pub(crate) cancellations: u64,
    /// How often a synchronous standby is promoted.
    pub(crate) promotions: u32,
    /// How often a replica is killed in the middle of its replay.
    pub(crate) kills_in_replay: usize,
    /// Whether what a process holds is old enough to be judged.
    pub(crate) judges_growth: bool,
}

impl Bar {
    const CI: Self = Self {
        word: "ci",
        seconds: 120,
        faults: 60,
        kinds: 10,
        each: 3,
        appends: 20_000,
        cancellations: 2_000,
        promotions: 1,
        kills_in_replay: 1,
        judges_growth: false,
    };
    const SOAK: Self = Self {
        word: "soak",
        seconds: 900,
        faults: 400,
        kinds: 15,
        each: 10,
        appends: 150_000,
        cancellations: 10_000,
        promotions: 5,
        kills_in_replay: 20,
        judges_growth: true,
    };

    /// The one of this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::CI, Self::SOAK].into_iter().find(|bar| bar.word == word)
    }

    /// What of a count is asked of a run that lasts this long.
    pub(crate) fn part(&self, whole: u64, seconds: u64) -> u64 {
        whole * seconds / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_found_by_its_name_and_a_shorter_run_comes_to_its_part() {
        let soak = Bar::named("soak").unwrap();
        assert_eq!((soak.part(soak.faults, 900), soak.part(soak.appends, 90)), (400, 15_000));
        assert_eq!(Bar::named("ci").unwrap().part(60, 30), 15);
        assert!(Bar::named("none").is_none());
    }
}
