//! The operator's part: off unless it is written, and never a user's.

use std::fs;

use secrecy::ExposeSecret;

use super::{problems, read};

fn keys(yaml: &str) -> Vec<String> {
    let operator = read(yaml).expect(yaml).service.operator.expect(yaml);
    operator.api_keys.iter().map(|key| key.expose_secret().to_owned()).collect()
}

#[test]
fn there_is_no_operator_unless_one_is_written() {
    assert!(read("").unwrap().service.operator.is_none());
    let found = problems("persistence: {operator: {api_key: }}");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("write api_key or api_key_file"), "{found:?}");
}

#[test]
fn a_file_may_hold_an_old_key_and_a_new_one() {
    assert_eq!(keys("persistence: {operator: {api_key: canary-canary-canary}}"), ["canary-canary-canary"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, "the-old-key-of-ours\nthe-new-key-of-ours\n").unwrap();
    let yaml = format!("persistence: {{operator: {{api_key_file: {}}}}}", file.display());
    assert_eq!(keys(&yaml), ["the-old-key-of-ours", "the-new-key-of-ours"]);
}

#[test]
fn a_key_that_could_be_guessed_or_is_a_users_is_refused_and_not_shown() {
    for (lines, says) in [
        ("operator: {api_key: canary}", "at least 16 characters"),
        ("operator: {api_key: \"canary canary canary\"}", "without spaces"),
        (
            "operator: {api_key: canary-canary-canary}, authentication: {module: api-key-token, api_key: canary-canary-canary}",
            "the users' key as well",
        ),
        ("operator: {api_keys: canary-canary-canary}", "did you mean api_key?"),
    ] {
        let found = problems(&format!("persistence: {{{lines}}}"));
        assert!(found.iter().any(|problem| problem.contains(says)), "{lines}: {found:?}");
        assert!(!found.iter().any(|problem| problem.contains("canary")), "{found:?}");
    }
}
