//! Colour, sparingly: for headings and for how bad a finding is.

use std::ffi::OsString;

/// How a text is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Style {
    /// `text` with this style switched on before it and off behind it.
    pub(super) fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Whether colour may be used on a terminal: not where `NO_COLOR` is set to anything, nor on a dumb one.
pub(super) fn wanted(environment: impl Fn(&str) -> Option<OsString>) -> bool {
    environment("NO_COLOR").is_none_or(|value| value.is_empty())
        && environment("TERM").is_none_or(|value| value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_a_dumb_terminal_are_respected() {
        let environment = |no_color: Option<&'static str>, term: &'static str| {
            move |name: &str| match name {
                "NO_COLOR" => no_color.map(OsString::from),
                _ => Some(OsString::from(term)),
            }
        };
        assert!(wanted(environment(None, "xterm")));
        assert!(wanted(environment(Some(""), "xterm")));
        assert!(!wanted(environment(Some("1"), "xterm")));
        assert!(!wanted(environment(None, "dumb")));
    }
}
