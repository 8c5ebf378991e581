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

/// `text` as one word of a shell's command line.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,=+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `1 turn`, `2 turns`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "turn")), ["0 turns", "1 turn", "2 turns"]);
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(["a/b.db", "a b", "it's", ""].map(word), ["a/b.db", "'a b'", r"'it'\''s'", "''"]);
    }

    #[test]
    fn control_characters_reach_no_terminal() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31md"), "a b c [31md");
        assert_eq!(lines("a\nb\tc\u{1b}]0;title\u{7}"), "a\nb\tc\u{fffd}]0;title\u{fffd}");
    }
}
