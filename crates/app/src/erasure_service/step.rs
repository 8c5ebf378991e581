//! The steps of an erasure: between any two, everything may end.

use std::fmt;

/// What is done by now. A test ends the process at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The store knows of it.
    Begun,
    /// Some conversations are removed from the store.
    Removed,
    /// Nothing of it is in the journals of the machine, nor in this process.
    Forgotten,
    /// It is noted which archives hold something of it.
    Noted,
    /// No archive does any more.
    Rewritten,
    /// A look found nothing.
    Looked,
    /// The store has its certificate.
    Certified,
}

impl Step {
    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Removed => "removed",
            Self::Forgotten => "forgotten",
            Self::Noted => "noted",
            Self::Rewritten => "rewritten",
            Self::Looked => "looked",
            Self::Certified => "certified",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is told of each step, when it is done.
pub type Observer = crate::observer::Observer<Step>;
