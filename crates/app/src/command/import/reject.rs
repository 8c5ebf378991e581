//! The rejects file: what could not be imported, a JSON object for each. It is made when there is something to note.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use lcs_app::transfer::arrival::Reject;

pub(super) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(super) fn note(&mut self, reject: &Reject) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(BufWriter::new(File::create(&self.path)?)),
        };
        serde_json::to_writer(&mut *file, reject)?;
        file.write_all(b"\n")
    }

    /// The file, where there is one.
    pub(super) fn close(self) -> io::Result<Option<PathBuf>> {
        let Self { path, file } = self;
        file.map(|mut file| file.flush().map(|()| path)).transpose()
    }
}
