//! Archives in a bucket, over S3's protocol, with the credentials from the environment.

use std::process::{Command, Output};

use lcs_app::archive::Step;
use lcs_tests::object_store_stub::ObjectStoreStub;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Archiving, Database, large, user};
use crate::{Home, text};

/// A command that finds the bucket.
fn command(archiving: &Archiving, stub: &ObjectStoreStub, arguments: &[&str]) -> Command {
    let mut command = archiving.command(arguments);
    command
        .env("AWS_ENDPOINT", stub.url())
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "a-key")
        .env("AWS_SECRET_ACCESS_KEY", "a-canary-of-a-secret");
    command
}

fn run(archiving: &Archiving, stub: &ObjectStoreStub, arguments: &[&str]) -> Output {
    command(archiving, stub, arguments).output().unwrap()
}

fn json(archiving: &Archiving, stub: &ObjectStoreStub, arguments: &[&str]) -> Value {
    let output = run(archiving, stub, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_archive_in_a_bucket_is_written_read_replaced_and_deleted() {
    let runtime = Runtime::new().unwrap();
    let stub = runtime.block_on(ObjectStoreStub::start());
    let archiving = Archiving::at(Home::new(), "s3://bucket/some/prefix", Database::sqlite, 6);
    let before = archiving.exported();
    let run = |arguments: &[&str]| run(&archiving, &stub, arguments);
    let json = |arguments: &[&str]| json(&archiving, &stub, arguments);
    assert_eq!(json(&["doctor"])["healthy"], true);
    assert_eq!(json(&["cleanup"])["archived"], 6);
    let keys = stub.keys();
    assert!(
        keys.len() == 2 && keys.iter().all(|key| key.starts_with("bucket/some/prefix/archives/")),
        "{keys:?}"
    );
    assert_eq!(json(&["archive", "verify"])["whole"], 1);
    assert_eq!(json(&["restore", "--user", &user(0)])["restored"], 2);
    assert_eq!(stub.keys().len(), 2, "the old archive is replaced");
    assert_ne!(stub.keys(), keys);
    assert_eq!(json(&["restore", "--all"])["restored"], 4);
    assert_eq!(stub.keys(), Vec::<String>::new());
    assert!(archiving.exported() == before, "all is as it was");

    archiving.database.age();
    stub.refuse();
    let refused = run(&["cleanup"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("access is denied") && !said.contains("canary"), "{said}");
    assert_eq!(archiving.database.places().0.len(), 6, "nothing is removed");
}

/// What is more than goes at once goes in parts. What a process had sent when it was killed is no object, and is in
/// nobody's way; what one sends in vain that goes on, it takes back.
#[test]
fn a_large_archive_goes_in_parts_and_is_whole_or_not_there() {
    let runtime = Runtime::new().unwrap();
    let stub = runtime.block_on(ObjectStoreStub::start());
    let archiving = Archiving::of(Home::new(), "s3://bucket/prefix", Database::sqlite, &large());
    let before = archiving.exported();
    let json = |arguments: &[&str]| json(&archiving, &stub, arguments);

    stub.refuse_part(2);
    let refused = run(&archiving, &stub, &["cleanup", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(
        said.contains("cannot be written: access is denied"),
        "the place's failure, no conversation's: {said}"
    );
    assert_eq!((stub.keys().len(), stub.uploads()), (0, 0), "what was sent is taken back");
    assert_eq!(archiving.database.places().0.len(), 1, "nothing is removed");
    stub.refuse_part(0);

    let mut killed = command(&archiving, &stub, &["cleanup"]);
    let killed = killed.env("LCS_TEST_KILL_BEHIND", Step::Sending.as_str()).output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    assert_eq!((stub.keys().len(), stub.uploads()), (0, 1));
    assert_eq!(archiving.database.places().0.len(), 1, "nothing is removed");

    assert_eq!(json(&["cleanup"])["archived"], 1);
    assert_eq!(stub.keys().len(), 2);
    let archives = json(&["archive", "list"]);
    let bytes = archives["archives"].as_array().unwrap().iter().filter_map(|one| one["bytes"].as_u64()).max();
    assert!(bytes > Some(8 * 1024 * 1024), "{archives}");
    let verified = json(&["archive", "verify"]);
    assert_eq!((&verified["whole"], &verified["unfinished"]), (&1.into(), &1.into()));
    archiving.forget_the_time();
    // One run gives it up, and the next one forgets it.
    json(&["cleanup"]);
    json(&["cleanup"]);
    assert_eq!(json(&["archive", "verify"])["unfinished"], 0);
    assert_eq!(stub.uploads(), 1, "what nobody can list, the bucket's own rule deletes");
    assert_eq!(json(&["restore", "--all"])["restored"], 1);
    assert_eq!(stub.keys(), Vec::<String>::new());
    assert!(archiving.exported() == before, "all is as it was");
}
