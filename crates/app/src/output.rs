//! What the commands say: tables and sentences for people, JSON for programs.
//!
//! Everything goes through a writer whose errors are handled: a reader that has gone away (`| head`) ends
//! the command quietly, and not as if its answer had been read; a full disk ends it with an error.

pub(crate) mod age;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
mod unwritten;
pub(crate) mod whole_file;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use self::style::Style;
use self::table::Table;
use self::unwritten::unwritten;

/// Where a command's answer goes, and in which form.
pub(crate) struct Output {
    writer: Box<dyn Write + Send>,
    json: bool,
    colour: bool,
    width: Option<usize>,
}

impl Output {
    /// The process's standard output: colour and a width only where it is a terminal.
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        Self {
            writer: Box::new(Standard(stdout)),
            json,
            colour: terminal && style::wanted(|name| std::env::var_os(name)),
            width: width.filter(|_| terminal),
        }
    }

    /// Whether programs read the answer.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes `value` as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, value)?;
        self.line("")
    }

    /// Writes a line, and sees to it that it is read now.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")?;
        self.writer.flush()
    }

    /// Writes a text that the line goes on behind.
    pub(crate) fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        self.writer.write_all(prompt.as_bytes())?;
        self.writer.flush()
    }

    /// Whether the person at the terminal writes yes.
    pub(crate) fn is_confirmed(&mut self) -> io::Result<bool> {
        note("Write yes to go on.");
        self.prompt("> ")?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer.trim() == "yes")
    }

    /// Writes a table that fits into the terminal, where there is one.
    pub(crate) fn table(&mut self, table: &Table) -> io::Result<()> {
        for (row, line) in table.lines(self.width).iter().enumerate() {
            let line = if row == 0 { self.styled(Style::Bold, line) } else { line.clone() };
            self.line(&line)?;
        }
        Ok(())
    }

    /// `text` in `style`, where there is colour.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        if self.colour { style.paint(text) } else { text.to_owned() }
    }
}

/// Standard output: its errors say that it is what cannot be written, and not what was asked that failed.
struct Standard<W>(W);

impl<W: Write> Write for Standard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| unprinted(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| unprinted(&error))
    }
}

/// Standard output for what is no answer in sentences or JSON.
pub(crate) fn standard() -> impl Write + Send {
    Standard(io::stdout())
}

/// What is said where standard output gave `error`.
pub(crate) fn unprinted(error: &io::Error) -> io::Error {
    unwritten("standard output", error, "send it elsewhere")
}

/// Says something beside the answer, on standard error: nobody is to be told where that fails.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether `error` says that nobody reads the answer any more: nobody wants to be told.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(writer: impl Write + Send + 'static, colour: bool) -> Output {
        Output { writer: Box::new(writer), json: true, colour, width: None }
    }

    #[test]
    fn json_is_one_line() {
        let written = Shared::default();
        output(written.clone(), false).json(&serde_json::json!({"a": "b\nc"})).unwrap();
        assert_eq!(written.0.lock().unwrap().as_slice(), b"{\"a\":\"b\\nc\"}\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_a_failure() {
        let error =
            anyhow::Error::from(output(Standard(Gone), false).json(&"x").unwrap_err()).context("listing");
        assert!(is_broken_pipe(&error));
        assert!(error.root_cause().to_string().starts_with("standard output cannot be written (broken pipe"));
        assert!(!is_broken_pipe(&anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull))));
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        assert_eq!(output(io::sink(), false).styled(Style::Bold, "x"), "x");
        assert_eq!(output(io::sink(), true).styled(Style::Bold, "x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
