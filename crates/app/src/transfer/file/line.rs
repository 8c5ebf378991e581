//! Lines of bounded length: what is longer is passed over, and not held.

use std::io::{self, BufRead};

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Text(&'a str),
    /// It has more bytes than a line may have.
    TooLong,
    /// It is no text.
    NotUtf8,
    /// There is none any more.
    End,
}

/// The lines of a file.
pub(crate) struct Lines<R> {
    reader: R,
    longest: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(reader: R, longest: usize) -> Self {
        Self { reader, longest, line: Vec::new() }
    }

    pub(crate) fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        let (mut is_too_long, mut has_begun) = (false, false);
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                if !has_begun {
                    return Ok(Line::End);
                }
                break;
            }
            has_begun = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (text, used) = match end {
                Some(end) => (bytes.get(..end).unwrap_or_default(), end + 1),
                None => (bytes, bytes.len()),
            };
            if self.line.len() + text.len() > self.longest {
                is_too_long = true;
                self.line.clear();
            }
            if !is_too_long {
                self.line.extend_from_slice(text);
            }
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if is_too_long {
            return Ok(Line::TooLong);
        }
        Ok(std::str::from_utf8(&self.line).map_or(Line::NotUtf8, Line::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_however_they_lie_in_the_buffer() {
        let text = b"one\n\nthis one is too long\n\xff\r\nlast";
        for capacity in 1..40 {
            let mut lines = Lines::new(io::BufReader::with_capacity(capacity, text.as_slice()), 8);
            assert_eq!(lines.next().unwrap(), Line::Text("one"));
            assert_eq!(lines.next().unwrap(), Line::Text(""));
            assert_eq!(lines.next().unwrap(), Line::TooLong);
            assert_eq!(lines.next().unwrap(), Line::NotUtf8);
            assert_eq!(lines.next().unwrap(), Line::Text("last"));
            assert_eq!(lines.next().unwrap(), Line::End);
        }
    }
}
