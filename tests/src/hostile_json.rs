//! The table of hostile documents: what is in it, and what is to become of each.
//!
//! The stores are held against all of it, the HTTP edge against what can stand in a body.

/// A document, and what becomes of it.
#[derive(Debug)]
pub struct Case {
    /// As it stands in the table, cut.
    pub shown: String,
    /// The document.
    pub document: Vec<u8>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What comes back where it is not the document itself, or the pointer to where it is refused.
    pub detail: String,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored, and can be queried.
    Kept,
    /// It is stored in the sealed form.
    Sealed,
    /// It is invalid, for a reason that says so.
    Refused {
        /// Part of the reason.
        reason: &'static str,
    },
    /// It is too large.
    Large,
}

impl Case {
    fn of(line: &str) -> Self {
        let mut columns = line.split('\t');
        let verdict = match columns.next() {
            Some("kept") => Verdict::Kept,
            Some("sealed") => Verdict::Sealed,
            Some("inexact") => Verdict::Refused { reason: "cannot be kept exactly" },
            Some("deep") => Verdict::Refused { reason: "nested deeper than 64 levels" },
            Some("malformed") => Verdict::Refused { reason: "not well-formed JSON at line" },
            Some("encoding") => Verdict::Refused { reason: "not UTF-8 at byte" },
            Some("large") => Verdict::Large,
            other => panic!("{other:?} is no verdict: {line}"),
        };
        let document = columns.next().unwrap_or_else(|| panic!("there is no document: {line}"));
        let detail = String::from_utf8(written_out(columns.next().unwrap_or_default()));
        let detail = detail.unwrap_or_else(|_| panic!("what comes back is text: {line}"));
        assert_eq!(columns.next(), None, "there are three columns: {line}");
        let shown = document.chars().take(80).collect();
        Self { shown, document: written_out(document), verdict, detail }
    }

    /// The canonical text of what comes back.
    ///
    /// # Panics
    /// Where the document is refused, and is no text.
    #[must_use]
    pub fn canonical(&self) -> &str {
        if self.detail.is_empty() {
            return std::str::from_utf8(&self.document).unwrap_or_else(|_| panic!("{}: no text", self.shown));
        }
        &self.detail
    }
}

/// Every case of the table.
///
/// # Panics
/// Where the table is not written as its head says.
#[must_use]
pub fn cases() -> Vec<Case> {
    let table = include_str!("../conformance/hostile_json.txt");
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ") && *line != "#");
    lines.map(Case::of).collect()
}

/// The bytes that a column stands for.
fn written_out(column: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = column;
    while let Some((before, from)) = rest.split_once('‹') {
        bytes.extend_from_slice(before.as_bytes());
        let (notation, after) = from.split_once('›').unwrap_or_else(|| panic!("‹ without ›: {column}"));
        bytes.extend(meaning(notation));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A text so many times, or bytes by their numbers; the byte that is repeated may be a number too.
fn meaning(notation: &str) -> Vec<u8> {
    let byte = |text: &str| u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 2);
    match notation.rsplit_once('*') {
        Some((text, times)) => {
            let times = times.parse().unwrap_or_else(|_| panic!("not a number: {notation}"));
            byte(text).map_or_else(|| text.as_bytes().to_vec(), |byte| vec![byte]).repeat(times)
        }
        None => notation
            .split(' ')
            .map(|number| byte(number).unwrap_or_else(|| panic!("not bytes: {notation}")))
            .collect(),
    }
}
