//! Environment variables inside values: `${env.NAME}`, `${env.NAME:=default}`, `${env.NAME:+value}`.
//!
//! The forms and their meanings are those that LCS gives them: `:=` stands for its default also where
//! the variable is set but empty, `:+` stands for its value where the variable is set and not empty.

use std::ffi::OsString;

/// Looks up an environment variable. A function, so that tests need not change the process's own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

const BEGIN: &str = "${env.";

/// The text of the variable `name`; `None` where it is not set.
///
/// # Errors
/// What to do where it is set to what is no text: to take it as not set would silently do something else.
pub(super) fn get(name: &str, environment: Environment<'_>) -> Result<Option<String>, String> {
    let text = environment(name).map(OsString::into_string).transpose();
    text.map_err(|_| format!("the environment variable {name} is not UTF-8 text: write it as UTF-8"))
}

/// `text` with its variables replaced; what they are replaced with is not looked at again.
///
/// # Errors
/// A sentence that names the variable and never shows a value, neither the text's nor the variable's.
pub(super) fn substitute(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        replaced.push_str(before);
        let Some((reference, behind)) = after.split_once('}') else {
            return Err("a ${env. has no closing brace: write ${env.NAME} or ${env.NAME:=default}".into());
        };
        replaced.push_str(&value(reference, environment)?);
        rest = behind;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

/// What the inside of one `${env.…}` stands for.
fn value(reference: &str, environment: Environment<'_>) -> Result<String, String> {
    let end = reference.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(reference.len());
    let (name, form) = reference.split_at_checked(end).unwrap_or((reference, ""));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a ${env. is not followed by a variable's name: write ${env.NAME}, \
                    the name in letters, digits and underscores"
            .into());
    }
    let set = get(name, environment)?;
    if form.is_empty() {
        return set.ok_or_else(|| {
            format!(
                "the environment variable {name} is not set: set it, or write ${{env.{name}:=default}} here"
            )
        });
    }
    let set = set.filter(|value| !value.is_empty());
    if let Some(default) = form.strip_prefix(":=") {
        Ok(set.unwrap_or_else(|| default.to_owned()))
    } else if let Some(value) = form.strip_prefix(":+") {
        Ok(set.map(|_| value.to_owned()).unwrap_or_default())
    } else {
        Err(format!(
            "${{env.{name} goes on in no known way: write ${{env.{name}}} or ${{env.{name}:=default}}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "HOST" => Some("db.example".into()),
            "EMPTY" => Some(OsString::new()),
            "TRICK" => Some("${env.HOST}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_also_inside_longer_texts() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${env.HOST}", "db.example"),
            ("a.${env.HOST}.b", "a.db.example.b"),
            ("${env.HOST}${env.HOST}", "db.exampledb.example"),
            ("${env.UNSET:=5432}", "5432"),
            ("${env.HOST:=other}", "db.example"),
            ("${env.EMPTY:=other}", "other"),
            ("${env.EMPTY}", ""),
            ("${env.UNSET:=}", ""),
            ("${env.HOST:+yes}", "yes"),
            ("${env.UNSET:+yes}", ""),
            ("${env.TRICK}", "${env.HOST}"),
            ("p@$$/${word}%", "p@$$/${word}%"),
        ] {
            assert_eq!(substitute(text, &environment).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        assert_eq!(
            substitute("x${env.PG_PORT}", &environment).unwrap_err(),
            "the environment variable PG_PORT is not set: set it, or write ${env.PG_PORT:=default} here"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_named_and_never_taken_as_unset() {
        use std::os::unix::ffi::OsStringExt;

        let environment = |_: &str| Some(OsString::from_vec(b"canary\xff".to_vec()));
        for text in ["${env.LATIN1}", "${env.LATIN1:=x}", "${env.LATIN1:+x}"] {
            assert_eq!(
                substitute(text, &environment).unwrap_err(),
                "the environment variable LATIN1 is not UTF-8 text: write it as UTF-8"
            );
        }
    }

    #[test]
    fn a_malformed_reference_is_refused_without_its_text() {
        for text in
            ["canary${env.HOST", "${env.}canary", "${env.1A}canary", "${env.HOST-x}canary", "${env.é}"]
        {
            let problem = substitute(text, &environment).unwrap_err();
            assert!(problem.contains("write ${env."), "{problem}");
            assert!(!problem.contains("canary"), "{problem}");
        }
    }
}
