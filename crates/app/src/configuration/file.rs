//! Files that the configuration names: one with a secret in it, one with certificates.

use std::fs;
use std::io;
use std::path::Path;

use secrecy::SecretString;

use super::document::Value;
use super::reader::Reader;
use super::reason;

/// The secret under the key `name` of `section`, or in the file under `name_file`; not both.
pub(super) fn secret(
    reader: &mut Reader<'_>,
    section: &str,
    name: &str,
    value: &Value,
    file: &Value,
) -> Option<SecretString> {
    let file_key = format!("{section}.{name}_file");
    let secret = reader.text(&format!("{section}.{name}"), value).map(SecretString::from);
    let file = reader.path(&file_key, file);
    match (secret, file) {
        (Some(_), Some(_)) => {
            reader.problem(&file_key, format!("{name} is set too: keep one of {name} and {name}_file"));
            None
        }
        (None, Some(file)) => match read(name, &file) {
            Ok(secret) => Some(secret),
            Err(message) => {
                reader.problem(&file_key, message);
                None
            }
        },
        (secret, None) => secret,
    }
}

/// The file's content but for one newline at its end, which an editor or `echo` leaves there.
fn read(name: &str, file: &Path) -> Result<SecretString, String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("{} is not UTF-8 text: write the {name} alone", file.display())
        }
        kind => {
            let reason = reason(kind);
            format!("{} cannot be read ({reason}): write a file that this process may read", file.display())
        }
    })?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("{} is empty: write the {name} into it", file.display()));
    }
    Ok(SecretString::from(secret))
}

/// Notes it where there is no file with certificates to be read at `path`.
pub(super) fn check_certificates(reader: &mut Reader<'_>, key: &str, path: &Path) {
    const WRITE: &str = "write the path of a file with certificates in PEM form";
    let shown = path.display();
    match fs::File::open(path).and_then(|opened| opened.metadata()) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => reader.problem(key, format!("{shown} is not a file: {WRITE}")),
        Err(error) => {
            reader.problem(key, format!("{shown} cannot be read ({}): {WRITE}", reason(error.kind())));
        }
    }
}
