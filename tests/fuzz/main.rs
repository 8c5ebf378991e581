//! What the fuzzers start from, and what they ever found: each input is held against its target's rule.
//!
//! The rules stand in `fuzz/`, a workspace of its own; `scripts/fuzz` looks for more inputs. What it finds is
//! kept under `fuzz/regressions`, and is an ordinary test from then on.

#![cfg(test)]

#[path = "../../fuzz/src/configuration.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod configuration;
#[path = "../../fuzz/src/content.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod content;
#[path = "../../fuzz/src/cursor.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod cursor;
#[path = "../../fuzz/src/http.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod http;
#[path = "../../fuzz/src/id.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod id;
#[path = "../../fuzz/src/journal.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod journal;
#[path = "../../fuzz/src/payload.rs"]
#[expect(unreachable_pub, reason = "the fuzzers call it from another crate")]
mod payload;

use std::fs;
use std::path::Path;

/// Every seed of the target, and everything that was found of it.
fn hold(target: &str, rule: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut held = 0;
    for folder in ["seeds", "regressions"] {
        for entry in fs::read_dir(root.join(folder).join(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| rule(&input));
            assert!(outcome.is_ok(), "{} breaks the rule", path.display());
            held += 1;
        }
    }
    assert!(held > 1, "there are no seeds for {target}");
}

macro_rules! targets {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                hold(stringify!($target), $target::check);
            }
        )*

        const TARGETS: &[&str] = &[$(stringify!($target)),*];
    };
}

targets!(configuration, content, cursor, http, id, journal, payload);

#[test]
fn every_target_is_held() {
    let written = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets")).unwrap();
    let mut written: Vec<_> = written
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    written.sort();
    assert_eq!(written, TARGETS);
}
