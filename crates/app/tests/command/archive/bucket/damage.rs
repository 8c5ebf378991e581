//! What is damaged in a bucket, and what is cut off on its way.

use lcs_tests::object_store_stub::Protocol;

use super::*;

impl Bucket {
    /// What it answers, with its exit code.
    fn coded(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stderr));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn found_and_not_restored(protocol: Protocol) {
    let bucket = Bucket::new(protocol, 5);
    bucket.json(&["cleanup"]);
    for key in bucket.files() {
        let whole = bucket.stub.object(&key).unwrap();
        let mut flipped = whole.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let cut = whole.slice(..whole.len() - 3);
        for (how, bytes) in [("flipped", Some(flipped.into())), ("cut off", Some(cut)), ("gone", None)] {
            bucket.stub.replace(&key, bytes);
            let (code, verified) = bucket.coded(&["archive", "verify"]);
            let damaged = verified["damaged"].as_array().unwrap().len();
            assert_eq!((code, damaged), (Some(1), 1), "{key} {how}: {verified}");
            let (code, restored) = bucket.coded(&["restore", "--all"]);
            let damaged = restored["damaged"].as_array().unwrap().len();
            assert_eq!((code, &restored["restored"], damaged), (Some(1), &json!(0), 1), "{key} {how}");
            let (stored, archived) = bucket.archiving.database.places();
            assert_eq!((stored.len(), archived.len()), (0, 5), "{key} {how}: nothing is changed");
        }
        bucket.stub.replace(&key, Some(whole));
    }
    // An answer that ends in its middle is gone on with, and what is read is whole.
    bucket.stub.cut_off();
    assert_eq!(bucket.json(&["archive", "verify"])["whole"], 1);
    assert_eq!(bucket.stub.resumed(), 1, "its other half was asked for");
    assert_eq!(bucket.json(&["restore", "--all"])["restored"], 5);
}

#[test]
fn flipped_bits_and_cut_off_objects_are_found_and_not_restored_on_s3() {
    found_and_not_restored(Protocol::S3);
}

#[test]
fn flipped_bits_and_cut_off_objects_are_found_and_not_restored_on_google() {
    found_and_not_restored(Protocol::Google);
}

#[test]
fn flipped_bits_and_cut_off_objects_are_found_and_not_restored_on_azure() {
    found_and_not_restored(Protocol::Azure);
}
