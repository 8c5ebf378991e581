//! How far a conversation had come when an agent was made from it.

use std::fmt;

use lcs_domain::Head;

/// A conversation's two counters. Within one conversation neither ever falls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Version {
    /// How many turns it had.
    pub turn_count: u32,
    /// The last revision that its agent's state was given.
    pub state_revision: u64,
}

impl Version {
    /// Whether this version has everything that `other` has: it is the same one or a newer one.
    ///
    /// Two versions of one conversation of which neither covers the other cannot both have been read in
    /// one snapshot, and the conversation is past both: as neither counter falls, it is at the larger of
    /// each at least.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.turn_count >= other.turn_count && self.state_revision >= other.state_revision
    }
}

impl From<Head> for Version {
    fn from(head: Head) -> Self {
        Self { turn_count: head.turn_count, state_revision: head.state_revision }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}, revision {}", self.turn_count, self.state_revision)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    const fn version(turn_count: u32, state_revision: u64) -> Version {
        Version { turn_count, state_revision }
    }

    #[test]
    fn a_version_covers_itself_and_what_came_before() {
        assert!(version(2, 3).covers(version(2, 3)));
        assert!(version(3, 3).covers(version(2, 3)), "a turn without a state");
        assert!(version(2, 4).covers(version(2, 3)), "a save without a turn");
        assert!(!version(2, 3).covers(version(3, 3)));
        assert!(!version(2, 3).covers(version(2, 4)));
    }

    #[test]
    fn of_two_versions_that_cannot_both_be_true_neither_covers_the_other() {
        assert!(!version(5, 4).covers(version(6, 3)));
        assert!(!version(6, 3).covers(version(5, 4)));
    }
}
