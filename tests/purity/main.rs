//! Rules of the repository that no compiler checks: who depends on whom, and what no file contains.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).arg("--locked").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages that `package` is built with, itself included.
fn built_with(package: &str) -> Vec<String> {
    let tree = cargo(&["tree", "--package", package, "--all-features", "--edges=normal", "--prefix=none"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn assert_built_without(package: &str, foreign: &[&str]) {
    let packages = built_with(package);
    assert!(packages.iter().any(|name| name == package), "{packages:?}");
    for name in foreign {
        let found =
            packages.iter().find(|package| *package == name || package.starts_with(&format!("{name}-")));
        assert_eq!(found, None, "{package} is built with it");
    }
}

/// The packages of this workspace.
fn members() -> Vec<Value> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1"])).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line of Rust in this repository that `wrong` says so of, as `file:line`.
fn lines(wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let mut files = Vec::new();
    sources(root(), &mut files);
    assert!(files.len() > 10, "{files:?}");
    let mut found = Vec::new();
    for file in files {
        let content = fs::read_to_string(&file).unwrap();
        let wrong = content.lines().enumerate().filter(|(_, line)| wrong(line));
        found.extend(wrong.map(|(index, _)| format!("{}:{}", file.display(), index + 1)));
    }
    found
}

#[test]
fn the_domain_is_pure() {
    assert_built_without("lcs-domain", &["tokio", "diesel", "bb8", "libsqlite3", "lcs-storage", "lcs-app"]);
}

#[test]
fn the_cache_knows_no_store_and_no_app() {
    assert_built_without("lcs-agent-cache", &["lcs-storage", "lcs-app", "diesel", "bb8", "libsqlite3"]);
}

#[test]
fn the_stores_know_neither_the_cache_nor_the_app() {
    assert_built_without("lcs-storage", &["lcs-agent-cache", "lcs-app"]);
}

#[test]
fn only_the_suites_and_the_benches_import_the_app() {
    for member in members() {
        let name = member["name"].as_str().unwrap();
        let imports =
            member["dependencies"].as_array().unwrap().iter().any(|other| other["name"] == "lcs-app");
        assert!(!imports || ["lcs-tests", "lcs-benches"].contains(&name), "{name} imports lcs-app");
    }
}

#[test]
fn every_package_takes_the_workspace_s_lints() {
    let members = members();
    assert!(members.len() >= 5);
    for member in members {
        let manifest = member["manifest_path"].as_str().unwrap();
        let content = fs::read_to_string(manifest).unwrap();
        assert!(content.contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

#[test]
fn no_lint_is_allowed_silently() {
    let (outer, inner) = (concat!("#[", "allow"), concat!("#![", "allow"));
    assert_eq!(lines(|line| line.contains(outer) || line.contains(inner)), Vec::<String>::new());
}

#[test]
fn no_file_is_more_than_one_idea() {
    let mut files = Vec::new();
    sources(root(), &mut files);
    files.retain(|file| fs::read_to_string(file).unwrap().lines().count() > 500);
    assert_eq!(files, Vec::<PathBuf>::new(), "these have more than 500 lines");
}
