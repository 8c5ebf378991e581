//! A secret: written in the file, or in a file of its own.

use std::fs;
use std::io;
use std::path::Path;

use secrecy::SecretString;

use super::document::Value;
use super::reader::Reader;
use super::reason;

/// The secret that is `written` under its key, or that stands in the file that `file` names; `what` it is,
/// for the messages. Both at once are a problem: nobody could say which one counts.
pub(super) fn read(
    reader: &mut Reader<'_>,
    what: &str,
    written: (&str, &Value),
    file: (&str, &Value),
) -> Option<SecretString> {
    let secret = reader.text(written.0, written.1).map(SecretString::from);
    let path = reader.path(file.0, file.1);
    let problem = match (secret, path) {
        (Some(_), Some(_)) => format!("{what} is set too: keep one of {what} and {what}_file"),
        (None, Some(path)) => match read_file(&path, what) {
            Ok(secret) => return Some(secret),
            Err(message) => message,
        },
        (secret, None) => return secret,
    };
    reader.problem(file.0, problem);
    None
}

/// The file's content but for one newline at its end, which an editor or `echo` leaves there.
fn read_file(file: &Path, what: &str) -> Result<SecretString, String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("{} is not UTF-8 text: write the {what} alone", file.display())
        }
        kind => {
            let reason = reason(kind);
            format!("{} cannot be read ({reason}): write a file that this process may read", file.display())
        }
    })?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("{} is empty: write the {what} into it", file.display()));
    }
    Ok(SecretString::from(secret))
}
