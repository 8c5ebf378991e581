//! What a bucket refuses, and one that is not there: one sentence, nothing secret in it, and nothing lost.

use lcs_tests::object_store_stub::Protocol;

use super::*;

impl Bucket {
    /// Whatever is done with archives fails with this sentence, and nothing is lost of what is archived: an erasure has
    /// removed the rows, and gives no certificate before its archives are written anew.
    fn assert_refused(&self, archived: usize, reason: &str) {
        let certificate = self.archiving.home.0.path().join("none.json");
        let user = user(1);
        let erase = ["erase", "--user", &user, "--yes", "--certificate", certificate.to_str().unwrap()];
        let archive = self.archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
        let all: [&[&str]; 5] = [
            &["cleanup"],
            &["archive", "verify"],
            &["archive", "show", &archive],
            &["restore", "--all"],
            &erase,
        ];
        for arguments in all {
            assert_eq!(self.archiving.database.places().1.len(), archived, "before {arguments:?}");
            let said = self.failure(arguments);
            let place = format!("the archives at {} cannot be ", self.archiving.url);
            assert!(said.contains(&place) && said.contains(reason), "{arguments:?}: {said}");
        }
        assert!(!certificate.exists());
        let named = "SELECT 'x' AS answer FROM conversation_tombstones WHERE archive_id IS NOT NULL";
        assert_eq!(self.archiving.database.ask(named).len(), archived, "nothing is forgotten");
    }

    /// What was refused is done, where it is taken again.
    fn assert_erased(&self, before: &[String]) {
        assert_eq!(self.erase(1).unwrap()["certificate"]["archived_conversations"], 2);
        self.fetch();
        assert!(!self.archiving.has_anywhere(1));
        self.json(&["restore", "--all"]);
        self.archiving.forget_the_time();
        self.json(&["cleanup"]);
        self.json(&["restore", "--all"]);
        assert_eq!(self.files(), Vec::<String>::new());
        let after = self.archiving.exported();
        for other in [0, 2] {
            assert_eq!(lines_of(&after, other), lines_of(before, other));
        }
    }
}

fn refused(protocol: Protocol) {
    let mut bucket = Bucket::new(protocol, 6);
    let before = bucket.archiving.exported();
    bucket.json(&["cleanup"]);
    bucket.json(&["restore", "--conversation", &conversation(0)]);
    bucket.archiving.database.age();
    let right = bucket.environment.clone();
    let (wrong, reason) = match protocol {
        Protocol::S3 => (vec![("AWS_ACCESS_KEY_ID", "a-canary")], "access is denied (AccessDenied): "),
        Protocol::Google => (
            vec![("GOOGLE_BEARER_TOKEN", "another-canary")],
            "the credentials in the environment are not taken (AuthenticationRequired)",
        ),
        Protocol::Azure => (
            vec![("AZURE_STORAGE_ACCOUNT_NAME", "a-canary")],
            "access is denied (AuthenticationFailed): look at the credentials in the environment",
        ),
    };
    bucket.environment.extend(wrong.into_iter().map(|(name, value)| (name, value.to_owned())));
    bucket.assert_refused(5, reason);
    bucket.environment = right;
    bucket.assert_erased(&before);

    // Its objects are kept for a while, as a rule of it says: what comes back from it is deleted there later.
    bucket.archiving.database.age();
    assert_eq!(bucket.json(&["cleanup"])["archived"], 4);
    bucket.stub.refuse_deletes(true);
    assert_eq!(bucket.json(&["restore", "--all"])["restored"], 4);
    let said = bucket.failure(&["cleanup"]);
    let reason = match protocol {
        Protocol::S3 => "cannot be deleted: access is denied (AccessDenied): ",
        Protocol::Google => "cannot be deleted: access is denied (RetentionPolicyNotMet): ",
        Protocol::Azure => "cannot be deleted: the server answered 409",
    };
    assert!(said.contains(reason), "{said}");
    bucket.stub.refuse_deletes(false);
    bucket.archiving.forget_the_time();
    bucket.json(&["cleanup"]);
    bucket.json(&["restore", "--all"]);
    assert_eq!((bucket.files().len(), bucket.archiving.database.places().0.len()), (0, 4));

    bucket.archiving.database.age();
    bucket.stub.refuse();
    let said = bucket.failure(&["cleanup"]);
    assert!(said.contains(": access is denied ("), "{said}");
    assert_eq!(bucket.archiving.database.places().0.len(), 4, "nothing is removed");
}

#[test]
fn canary_what_a_bucket_refuses_is_one_sentence_without_a_secret_on_s3() {
    refused(Protocol::S3);
}

#[test]
fn canary_what_a_bucket_refuses_is_one_sentence_without_a_secret_on_google() {
    refused(Protocol::Google);
}

#[test]
fn canary_what_a_bucket_refuses_is_one_sentence_without_a_secret_on_azure() {
    refused(Protocol::Azure);
}

fn not_there(protocol: Protocol) {
    let mut bucket = Bucket::new(protocol, 6);
    let before = bucket.archiving.exported();
    bucket.json(&["cleanup"]);
    bucket.json(&["restore", "--conversation", &conversation(0)]);
    bucket.archiving.database.age();
    let right = bucket.archiving.url.clone();
    bucket.archiving.url = right.replace("://bucket/", "://another/");
    bucket.archiving.configure("enable_archival: true");
    bucket.assert_refused(5, "the bucket or container is not there: make it, or look at the address");
    bucket.archiving.url = right;
    bucket.archiving.configure("enable_archival: true");
    assert_eq!(bucket.json(&["cleanup"])["archived"], 1);
    bucket.assert_erased(&before);
}

#[test]
fn a_bucket_that_is_not_there_is_named_and_nothing_is_changed_on_s3() {
    not_there(Protocol::S3);
}

#[test]
fn a_bucket_that_is_not_there_is_named_and_nothing_is_changed_on_google() {
    not_there(Protocol::Google);
}

#[test]
fn a_container_that_is_not_there_is_named_and_nothing_is_changed_on_azure() {
    not_there(Protocol::Azure);
}
