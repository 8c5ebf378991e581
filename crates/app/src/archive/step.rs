//! The steps of whoever moves conversations to archives and back: between any two, everything may end.

use std::fmt;
use std::str::FromStr;

/// What is done by now. The names never change: a test ends the process at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The database knows of an archive that is begun.
    Begun,
    /// A piece of its file is on its way.
    Sending,
    /// Its conversations are in its file.
    Written,
    /// The file was read back, and is right.
    Checked,
    /// The manifest is there.
    Described,
    /// Some of its conversations are removed from the database.
    Removed,
    /// The database knows what it holds.
    Closed,
    /// Some conversations are back in the database.
    Restored,
    /// The archive holds less than another, in whose place it is now.
    Replaced,
    /// The file of an archive that holds nothing any more is deleted.
    Emptied,
    /// Its manifest too.
    Deleted,
    /// The database has forgotten it.
    Forgotten,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 12] = [
        Self::Begun,
        Self::Sending,
        Self::Written,
        Self::Checked,
        Self::Described,
        Self::Removed,
        Self::Closed,
        Self::Restored,
        Self::Replaced,
        Self::Emptied,
        Self::Deleted,
        Self::Forgotten,
    ];

    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Sending => "sending",
            Self::Written => "written",
            Self::Checked => "checked",
            Self::Described => "described",
            Self::Removed => "removed",
            Self::Closed => "closed",
            Self::Restored => "restored",
            Self::Replaced => "replaced",
            Self::Emptied => "emptied",
            Self::Deleted => "deleted",
            Self::Forgotten => "forgotten",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no step of an archive has this name")]
pub struct UnknownStep;

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        Self::ALL.into_iter().find(|step| step.as_str() == text).ok_or(UnknownStep)
    }
}

/// Who is told of each step, when it is done.
pub type Observer = crate::observer::Observer<Step>;
