//! How a file is compressed: as the end of its name says.

use std::io::{self, Read, Write};
use std::path::Path;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstandard,
}

/// A file that is written, and is whole only when it is finished.
pub enum Writer<W: Write> {
    /// As it is.
    Plain(W),
    /// In gzip's format.
    Gzip(flate2::write::GzEncoder<W>),
    /// In Zstandard's format.
    Zstandard(zstd::Encoder<'static, W>),
}

impl Compression {
    /// What the name of `path` says.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstandard,
            _ => Self::None,
        }
    }

    /// Reads what `reader` gives.
    pub fn reader(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(reader),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Self::Zstandard => Box::new(zstd::Decoder::new(reader)?),
        })
    }

    /// Writes to `writer`.
    pub fn writer<W: Write>(self, writer: W) -> io::Result<Writer<W>> {
        Ok(match self {
            Self::None => Writer::Plain(writer),
            Self::Gzip => Writer::Gzip(flate2::write::GzEncoder::new(writer, flate2::Compression::default())),
            Self::Zstandard => {
                let mut encoder = zstd::Encoder::new(writer, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                // A reader notices where it was damaged.
                encoder.include_checksum(true)?;
                Writer::Zstandard(encoder)
            }
        })
    }
}

impl<W: Write> Writer<W> {
    /// Ends the file, and gives back what it was written to.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(mut writer) => writer.flush().map(|()| writer),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstandard(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(writer) => writer.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstandard(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstandard(encoder) => encoder.flush(),
        }
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Zstandard(_) => "Zstandard",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_file_that_is_cut_off_is_noticed() {
        let text = "a line that is long enough to be worth it\n".repeat(1_000);
        for (name, compression) in [
            ("a.jsonl", Compression::None),
            ("a.jsonl.gz", Compression::Gzip),
            ("a.jsonl.zst", Compression::Zstandard),
        ] {
            assert_eq!(Compression::of(Path::new(name)), compression);
            let mut writer = compression.writer(Vec::new()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            let bytes = writer.finish().unwrap();
            let read = |bytes: Vec<u8>| {
                let mut read = String::new();
                let done = compression.reader(io::Cursor::new(bytes)).unwrap().read_to_string(&mut read);
                done.map(|_| read)
            };
            assert_eq!(read(bytes.clone()).unwrap(), text, "{name}");
            if compression != Compression::None {
                assert!(bytes.len() < text.len() / 10);
                assert!(read(bytes[..bytes.len() - 5].to_vec()).is_err(), "{name}");
            }
        }
    }
}
