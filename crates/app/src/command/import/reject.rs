//! The rejects file: what could not be imported, a JSON object for each. It is made when there is something to note,
//! and has its name when the import has ended. It replaces one of an earlier import, and nothing else.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, IntoInnerError, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lcs_app::transfer::arrival::Reject;
use serde_json::{Map, Value};

use crate::output::whole_file::WholeFile;

/// How much of a file is looked at to know whose it is: more than a reject has.
const LOOKED_AT: u64 = 64 * 1024;

pub(super) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<WholeFile>>,
}

impl Rejects {
    /// Rejects that will be noted in `path`.
    ///
    /// # Errors
    /// Where something else is there: an import that is read from it, or whatever has its name.
    pub(super) fn at(path: PathBuf, sources: &[&Path]) -> Result<Self> {
        let same = |source: &&Path| match (source.canonicalize(), path.canonicalize()) {
            (Ok(source), Ok(path)) => source == path,
            _ => false,
        };
        if sources.iter().any(same) {
            bail!("{} is what is imported: name another file with --rejects", path.display());
        }
        let is_free = match path.try_exists() {
            Ok(false) => true,
            _ => is_ours(&path).with_context(|| format!("{} cannot be read", path.display()))?,
        };
        if !is_free {
            bail!("{} is there already, and no rejects file: name another with --rejects", path.display());
        }
        Ok(Self { path, file: None })
    }

    pub(super) fn note(&mut self, reject: &Reject) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            // Whoever may not read what users said may not read their names and ids either: it is its owner's alone.
            file => {
                let partial = WholeFile::begin(&self.path, ".rejects-")?;
                file.insert(BufWriter::new(partial))
            }
        };
        serde_json::to_writer(&mut *file, reject)?;
        file.write_all(b"\n")
    }

    /// The file, where there is one. That of an earlier import goes where this one `is_whole` and has none.
    pub(super) fn close(self, is_whole: bool) -> io::Result<Option<PathBuf>> {
        let Self { path, file } = self;
        if let Some(file) = file {
            file.into_inner().map_err(IntoInnerError::into_error)?.keep(true)?;
            return Ok(Some(path));
        }
        if is_whole && path.try_exists()? {
            fs::remove_file(&path)?;
        }
        Ok(None)
    }
}

/// Whether a file has nothing in it, or begins with a reject.
fn is_ours(path: &Path) -> io::Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(LOOKED_AT)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(true);
    }
    let fields = serde_json::from_slice::<Map<String, Value>>(&line).unwrap_or_default();
    let known = |name: &String| ["line", "row", "conversation_id", "reason"].contains(&name.as_str());
    Ok(fields.contains_key("reason") && fields.keys().all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject() -> Reject {
        Reject { line: Some(1), row: None, conversation_id: None, reason: "too long".to_owned() }
    }

    #[test]
    fn an_earlier_rejects_file_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects");
        let mut rejects = Rejects::at(path.clone(), &[]).unwrap();
        rejects.note(&reject()).unwrap();
        assert!(!path.exists(), "not before the end");
        assert_eq!(rejects.close(true).unwrap(), Some(path.clone()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let said = |refused: Result<Rejects>| refused.err().unwrap().to_string();
        assert!(said(Rejects::at(path.clone(), &[&path])).contains("is what is imported"));
        // Ended before its end, an import has nothing to say of what was rejected earlier.
        Rejects::at(path.clone(), &[]).unwrap().close(false).unwrap();
        assert!(path.exists());
        Rejects::at(path.clone(), &[]).unwrap().close(true).unwrap();
        assert!(!path.exists(), "nothing was rejected");
        for other in ["{\"type\":\"header\",\"reason\":\"\"}\n", "SQLite format 3\0", "[]", "\n"] {
            fs::write(&path, other).unwrap();
            assert!(said(Rejects::at(path.clone(), &[])).contains("no rejects file"), "{other}");
        }
        assert!(said(Rejects::at(folder.path().to_owned(), &[])).contains("no rejects file"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }
}
