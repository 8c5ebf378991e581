//! Stored texts on a terminal: nothing in them may move the cursor or change the colour.

/// `text` on one line: line breaks and other control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` with its lines and tabs as they are, and all other control characters made visible.
pub(crate) fn lines(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_reach_no_terminal() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31md"), "a b c [31md");
        assert_eq!(lines("a\nb\tc\u{1b}]0;title\u{7}"), "a\nb\tc\u{fffd}]0;title\u{fffd}");
    }
}
