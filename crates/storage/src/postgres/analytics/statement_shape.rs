//! The shape of a statement: its text without any value.
//!
//! `pg_stat_statements` puts `$1` for the constants of queries, and leaves those of other commands as they were written:
//! a password, a user's id. Neither is trusted here: what may be a value is left out.

/// How long a shape is at most, in characters.
const MAX_CHARS: usize = 400;
/// What may be shown with its words; of everything else only the first word is.
const SHOWN: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES"];

/// The text without comments and values, on one line.
pub(super) fn shape(text: &str) -> String {
    let shape = without_values(text);
    let first = shape.split(' ').next().unwrap_or_default();
    if SHOWN.iter().any(|word| first.trim_start_matches('(').eq_ignore_ascii_case(word)) {
        let short: String = shape.chars().take(MAX_CHARS).collect();
        return if short.len() < shape.len() { format!("{short}…") } else { short };
    }
    let word: String = first.chars().take_while(char::is_ascii_alphabetic).collect();
    format!("{word} …")
}

fn without_values(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = if let Some(comment) = rest.strip_prefix("--") {
            push_space(&mut shape);
            2 + comment.find('\n').map_or(comment.len(), |end| end + 1)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            push_space(&mut shape);
            2 + end_of_comment(comment)
        } else if c == '\'' {
            shape.push('?');
            quoted(rest, '\'')
        } else if c == '"' {
            let end = quoted(rest, '"');
            let name = rest.get(..end).unwrap_or_default();
            // One that is not closed may be anything.
            shape.push_str(if name.len() > 1 && name.ends_with('"') { name } else { "?" });
            end
        } else if let Some(end) = dollar_quoted(rest) {
            shape.push('?');
            end
        } else if c.is_whitespace() {
            push_space(&mut shape);
            c.len_utf8()
        } else if is_word(c) || c == '$' {
            // A word, a bind, or a number: as long as it goes.
            let end = rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(rest.len());
            shape.push_str(if c.is_ascii_digit() { "?" } else { rest.get(..end).unwrap_or_default() });
            end
        } else {
            shape.push(c);
            c.len_utf8()
        };
        rest = rest.get(end..).unwrap_or_default();
    }
    shape.trim().to_owned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn push_space(shape: &mut String) {
    if !shape.is_empty() && !shape.ends_with(' ') {
        shape.push(' ');
    }
}

/// Where the text that begins with `quote` ends. One that is not closed, or that may go on behind a backslash,
/// goes on to the end.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' && quote == '\'' {
            return text.len();
        }
        if c == quote {
            match characters.peek() {
                Some((_, next)) if *next == quote => drop(characters.next()),
                _ => return at + 1,
            }
        }
    }
    text.len()
}

/// Where the comment ends whose inside this is: comments stand in each other.
fn end_of_comment(inside: &str) -> usize {
    let (mut depth, mut at) = (1, 0);
    while let Some(rest) = inside.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("*/") {
            depth -= 1;
            2
        } else if rest.starts_with("/*") {
            depth += 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where the text in dollars ends that begins here, if one does.
fn dollar_quoted(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('$')?;
    let tag = inner.get(..inner.find('$')?)?;
    if tag.starts_with(|c: char| c.is_ascii_digit()) || !tag.chars().all(is_word) {
        return None;
    }
    let begin = tag.len() + 2;
    let mark = text.get(..begin)?;
    let body = text.get(begin..)?;
    Some(body.find(mark).map_or(text.len(), |end| begin + end + begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_no_value_is_left_of_a_statement() {
        for (text, expected) in [
            (
                "-- $1 canary\nSELECT a,\n  $1 FROM \"T\"\tWHERE b = 'canary''canary' AND c = 42",
                "SELECT a, $1 FROM \"T\" WHERE b = ? AND c = ?",
            ),
            ("SELECT $a$canary$a$, $$canary$$ || $2, x1 /* canary */ FROM t", "SELECT ?, ? || $2, x1 FROM t"),
            ("SELECT 'canary\\' canary, b", "SELECT ?"),
            (
                r#"SELECT "a\b" FROM t WHERE x = 'canary' AND id = 4711"#,
                r#"SELECT "a\b" FROM t WHERE x = ? AND id = ?"#,
            ),
            ("SELECT 1 /* a /* é */ user=canary */, b", "SELECT ? , b"),
            ("SELECT \"canary", "SELECT ?"),
            ("SELECT a /* canary", "SELECT a"),
            ("(SELECT 1.5e3)", "(SELECT ?.?)"),
            ("SET LOCAL lcs.user_id = 'canary'", "SET …"),
            ("ALTER ROLE x PASSWORD 'canary'", "ALTER …"),
            ("canary$1", "canary …"),
            ("", " …"),
        ] {
            assert_eq!(shape(text), expected);
        }
        let long = shape(&format!("SELECT {}", "a, ".repeat(1_000)));
        assert!(long.chars().count() == MAX_CHARS + 1 && long.ends_with('…'));
    }
}
