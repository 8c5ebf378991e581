//! What a run came to, as a table: what was done, what was found, and which of the requirements hold.

use std::fmt::Write as _;

use lcs_tests::chaos::replica::Failure;

use super::bar::Bar;
use super::secret::Searched;

/// A requirement, what it asks for, and what there was.
#[derive(Debug, Clone)]
pub(crate) struct Requirement {
    /// As the failure model counts them; `H` for the hardships.
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) found: String,
    pub(crate) holds: bool,
    /// Whether the run fails without it. How much was done says how fast the machine is, and not whether a
    /// promise was kept.
    pub(crate) decides: bool,
}

impl Requirement {
    /// One that the run fails without.
    pub(crate) fn new(id: &'static str, what: impl Into<String>, found: String, holds: bool) -> Self {
        Self { id, what: what.into(), found, holds, decides: true }
    }

    /// One that is only told.
    pub(crate) fn told(self) -> Self {
        Self { decides: false, ..self }
    }

    const fn result(&self) -> &'static str {
        match (self.holds, self.decides) {
            (true, _) => "pass",
            (false, true) => "FAIL",
            (false, false) => "less",
        }
    }
}

/// What one phase adds to the table.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) searched: Searched,
}

impl Part {
    /// A phase that did not come to its end.
    pub(crate) fn broken_off(phase: &str, error: &Failure) -> Self {
        let broken = Requirement::new("!!", format!("{phase} goes on to its end"), error.to_string(), false);
        Self { title: phase.to_owned(), requirements: vec![broken], ..Self::default() }
    }
}

/// The table of a run.
pub(crate) struct Table {
    seed: u64,
    bar: Bar,
    parts: Vec<Part>,
}

impl Table {
    pub(crate) const fn new(seed: u64, bar: Bar) -> Self {
        Self { seed, bar, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Whether every requirement holds that decides, and there is one.
    pub(crate) fn passed(&self) -> bool {
        let requirements = self.requirements();
        let deciding = || requirements.iter().filter(|requirement| requirement.decides);
        deciding().count() > 0 && deciding().all(|requirement| requirement.holds)
    }

    /// In the order of their numbers, R9 before R10, the hardships behind them.
    fn requirements(&self) -> Vec<Requirement> {
        let mut all: Vec<Requirement> =
            self.parts.iter().flat_map(|part| part.requirements.iter().cloned()).collect();
        let mut searched = Searched::default();
        self.parts.iter().for_each(|part| searched += part.searched);
        if searched != Searched::default() {
            let what =
                "no password, and nothing that was said, in a log or in an answer that holds no conversation";
            all.push(Requirement::new("R14", what, searched.to_string(), searched.is_clean()));
        }
        all.sort_by_key(|requirement| {
            let number = requirement.id.strip_prefix('R');
            let place = number.or(requirement.id.strip_prefix('H'));
            (number.is_none(), place.and_then(|place| place.parse().ok()).unwrap_or(u32::MAX))
        });
        all
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nseed {}, held against the bar {}", self.seed, self.bar.word)?;
        for Part { title, text: said, .. } in &self.parts {
            writeln!(text, "\n== {title}\n\n{}", said.trim_end())?;
        }
        writeln!(text, "\n== requirements\n")?;
        for requirement in self.requirements() {
            let Requirement { id, what, found, .. } = &requirement;
            writeln!(text, "  {} {id:<4} {what}: {found}", requirement.result())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(requirements: Vec<Requirement>) -> Table {
        let mut table = Table::new(7, Bar::named("ci").unwrap());
        table.add(Part { title: "phase".into(), requirements, ..Part::default() });
        table
    }

    #[test]
    fn lines_stand_in_the_order_of_their_numbers() {
        let line = |id| Requirement::new(id, "what", "found".into(), true);
        let text = table(vec![line("H2"), line("R10"), line("R9"), line("R1"), line("H1")]).text();
        let ids: Vec<&str> =
            text.lines().filter_map(|line| line.trim_start().strip_prefix("pass ")?.get(..3)).collect();
        assert_eq!(ids, ["R1 ", "R9 ", "R10", "H1 ", "H2 "]);
    }

    #[test]
    fn what_is_only_told_does_not_decide_and_nothing_shown_is_no_success() {
        let line = |holds| Requirement::new("R2", "what", "found".into(), holds);
        assert!(table(vec![line(true), line(false).told()]).passed());
        assert!(!table(vec![line(true), line(false)]).passed());
        assert!(!table(vec![line(true).told()]).passed());
        assert!(!table(Vec::new()).passed());
        assert!(!table(Part::broken_off("faults", &"why".into()).requirements).passed());
    }
}
