//! The command lines of the programs that stand beside the tests: `--name value`, each of them.

use std::collections::HashMap;
use std::error::Error;

/// The options that this process was given, by their names without `--`.
///
/// # Errors
/// A sentence, where one is not among the `known`, or has no value.
pub fn options(known: &[&str]) -> Result<HashMap<String, String>, Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let mut options = HashMap::new();
    while let Some(argument) = arguments.next() {
        let name = argument.strip_prefix("--").filter(|name| known.contains(name));
        let name =
            name.ok_or_else(|| format!("{argument} is no option: write {known:?} with -- before it"))?;
        let value = arguments.next().ok_or_else(|| format!("--{name} needs a value"))?;
        options.insert(name.to_owned(), value);
    }
    Ok(options)
}
