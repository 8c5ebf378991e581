//! A quick look at a JSON text: whether it is canonical as it stands.
//!
//! Most documents are: a host's values are written with their keys sorted and without white space. For them this is
//! all the validation there is, one pass over the bytes that builds nothing. Any other text, a malformed one too,
//! is left to the parser in `document`, which says what is wrong, and where.

use serde_json::Number;

use super::MAX_DEPTH;
use super::number::{self, exact};

/// What is known of a text that is a document in canonical form; `None` where it may be none.
///
/// It is never wrong about a text that it knows: the parser would take it, and write the very same text.
pub(super) fn look(json: &str) -> Option<Canonical> {
    let mut look = Look { json, rest: json.as_bytes(), sealed: false };
    look.value(0)?;
    look.rest.is_empty().then_some(Canonical { sealed: look.sealed })
}

/// A text in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Canonical {
    /// Whether a JSONB column would blow it up.
    pub(super) sealed: bool,
}

struct Look<'a> {
    json: &'a str,
    rest: &'a [u8],
    sealed: bool,
}

impl<'a> Look<'a> {
    /// Steps over `byte`, if it is the next one.
    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.rest.first()? {
            b'"' => self.text().map(|_| ()),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        let mut last: Option<&[u8]> = None;
        loop {
            let key = self.text()?;
            // By their bytes as they are read, which are those that are written unless one is escaped.
            if key.contains(&b'\\') || last.is_some_and(|last| last >= key) {
                return None;
            }
            last = Some(key);
            self.take(b':')?;
            self.value(depth)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    /// A text, and what stands between its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let begin = self.rest;
        let mut escaped = begin;
        loop {
            let at = plain_length(escaped);
            let (_, found) = escaped.split_at_checked(at)?;
            match found {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return begin.get(..begin.len() - found.len());
                }
                // The other escapes have another canonical form, or a code that the parser looks at.
                [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => escaped = rest,
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        let at = self.json.len() - self.rest.len();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (text, rest) = (self.json.get(at..at + length)?, self.rest.get(length..)?);
        if !is_short_integer(text) {
            let written_so = |number: &Number| number.to_string() == text;
            let number = fraction(text).or_else(|| exact(text)).filter(written_so)?;
            self.sealed |= number.as_f64().is_some_and(number::is_long_as_decimal);
        }
        self.rest = rest;
        Some(())
    }
}

/// How many bytes stand before the first one that may not stand in a text as it is, or ends it.
fn plain_length(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks();
    let plain = words.iter().take_while(|word| is_plain(**word)).count() * size_of::<u64>();
    let rest = text.get(plain..).unwrap_or(rest);
    let is_end = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    plain + rest.iter().position(is_end).unwrap_or(rest.len())
}

/// Whether none of these eight bytes is a control character, a quote or a backslash: all of them at once, since most
/// of a document is text.
const fn is_plain(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    /// The highest bit of each byte that is less than `least`, and of none where there is none.
    const fn less(word: u64, least: u8) -> u64 {
        word.wrapping_sub(EACH * least as u64) & !word & (EACH << 7)
    }
    let word = u64::from_ne_bytes(word);
    let (quote, backslash) = (word ^ (EACH * b'"' as u64), word ^ (EACH * b'\\' as u64));
    less(word, b' ') | less(quote, 1) | less(backslash, 1) == 0
}

/// The float that `text` stands for, unless that is a whole number. Where it is written as `text`, nothing else needs
/// to be known of it.
fn fraction(text: &str) -> Option<Number> {
    let float = text.parse::<f64>().ok().filter(|float| float.fract() != 0.0)?;
    Number::from_f64(float)
}

/// One level down, unless that is too deep.
fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}

/// Whether `text` is an integer of up to 18 digits in its one form: it fits into 64 bits.
fn is_short_integer(text: &str) -> bool {
    match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        // -0 is 0.
        [b'0'] => text.len() == 1,
        digits @ [b'1'..=b'9', ..] => digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::document;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// What the parser makes of a text: the canonical one, and whether it is to be sealed.
    fn parsed(json: &str) -> Option<(String, bool)> {
        document::parse(json).ok().map(|document| (document.value.to_string(), document.sealed))
    }

    fn agrees(json: &str) {
        if let Some(Canonical { sealed }) = look(json) {
            assert_eq!(parsed(json), Some((json.to_owned(), sealed)), "{json}");
        }
    }

    #[test]
    fn what_is_canonical_is_known() {
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        let known = [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1.5",
            "\"\"",
            "[]",
            "{}",
            "[{}]",
            r#""a\"b\\\n""#,
            r#"{"":0}"#,
            r#"{"a":[1,-2.5,"é\t"],"b":{"c":null,"d":[true]}}"#,
            "\"\u{7f}\u{2028}\"",
            "1e+300",
            "1e-50",
            "999999999999999999",
            "18446744073709551615",
            "-9223372036854775808",
            &deep,
        ];
        for json in known {
            assert!(look(json).is_some(), "{json}");
            agrees(json);
        }
        assert_eq!(look("[1e+300]"), Some(Canonical { sealed: true }));
    }

    #[test]
    fn what_is_not_canonical_is_left_to_the_parser() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        let unknown = [
            "",
            " 1",
            "1 ",
            "[1, 2]",
            "{\"a\": 1}",
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            "1.0",
            "-0",
            "01",
            "1e2",
            "+1",
            "--1",
            "1.",
            ".5",
            "tru",
            "nulll",
            "[1",
            "[1,]",
            "[,1]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            "{1:2}",
            r#"{"a":1,}"#,
            "\"",
            r#""\u0041""#,
            r#""\/""#,
            r#""\u0000""#,
            r#""\x""#,
            "\"\u{1}\"",
            "1 2",
            "[]]",
            "1000000000000000000000000000000",
            "1e400",
            r#"{"a\n":1}"#,
            "NaN",
            "-",
            "e5",
            &deep,
        ];
        for json in unknown {
            assert_eq!(look(json), None, "{json}");
        }
    }

    #[test]
    fn a_text_ends_where_a_byte_says_so() {
        for length in 0..20 {
            let plain: Vec<u8> = (0..length).map(|n| b"az \x7f\x80\xff!#"[n % 8]).collect();
            assert_eq!(plain_length(&plain), length);
            for byte in 0..=u8::MAX {
                let ends = byte < b' ' || byte == b'"' || byte == b'\\';
                let text = [plain.as_slice(), &[byte], plain.as_slice()].concat();
                assert_eq!(plain_length(&text), if ends { length } else { text.len() }, "{length} {byte}");
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            "[a-z\"\\\\\\n\\t]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map("[a-c]{0,2}|.{0,3}", inner, 0..6)
                    .prop_map(|entries| json!(entries)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_parser_on_documents(value in any_value()) {
            agrees(&value.to_string());
        }

        /// Damaged in one place: most are malformed, some are other documents.
        #[test]
        fn it_agrees_with_the_parser_on_damaged_documents(
            value in any_value(), at in any::<prop::sample::Index>(), by in "[\\[\\]{}\",:0-9eE+.tfn\\\\u \u{1}é-]{0,2}",
        ) {
            let json: Vec<char> = value.to_string().chars().collect();
            let at = at.index(json.len());
            let damaged: String = json[..at].iter().chain(by.chars().collect::<Vec<_>>().iter()).chain(&json[at + 1..]).collect();
            agrees(&damaged);
        }

        #[test]
        fn it_agrees_with_the_parser_on_any_text(text in "[\\[\\]{}\",:0-9eE+.tfn\\\\u -]{0,24}") {
            agrees(&text);
        }

        #[test]
        fn it_agrees_with_the_parser_on_numbers(text in "-?[0-9]{0,21}(\\.[0-9]{0,4})?([eE][+-]?[0-9]{0,3})?") {
            agrees(&text);
        }
    }
}
