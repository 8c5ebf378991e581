//! Archives in a bucket, over the protocols of S3, Google Cloud Storage and Azure Blob Storage, with the credentials from the
//! environment.

mod credentials;
mod damage;
mod refused;

use lcs_tests::object_store_stub::{ACCOUNT, ObjectStoreStub, Protocol, TOKEN};

use super::erase::{lines_of, read};
use super::*;

/// What nobody may read in what is said. Azure's key is written in base64.
const SECRET: &str = "a-canary-of-a-secret";
const AZURE_SECRET: &str = "YS1jYW5hcnktb2YtYS1zZWNyZXQ=";

/// What a place is known by.
const MARK: &str = "lcs-archives.json";

/// A home whose archives are in a bucket, and the environment in which it is found.
struct Bucket {
    archiving: Archiving,
    stub: ObjectStoreStub,
    environment: Vec<(&'static str, String)>,
    _runtime: Runtime,
}

fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::S3 => "s3",
        Protocol::Google => "gs",
        Protocol::Azure => "az",
    }
}

/// Where the bucket's server is, and nothing secret.
fn server(stub: &ObjectStoreStub, protocol: Protocol) -> Vec<(&'static str, String)> {
    match protocol {
        Protocol::S3 => vec![("AWS_ENDPOINT", stub.url()), ("AWS_ALLOW_HTTP", "true".to_owned())],
        Protocol::Google => vec![("GOOGLE_BASE_URL", stub.url())],
        Protocol::Azure => {
            vec![("AZURE_STORAGE_ENDPOINT", stub.url()), ("AZURE_ALLOW_HTTP", "true".to_owned())]
        }
    }
}

fn credentials(protocol: Protocol) -> Vec<(&'static str, String)> {
    let named = match protocol {
        Protocol::S3 => vec![("AWS_ACCESS_KEY_ID", "a-key"), ("AWS_SECRET_ACCESS_KEY", SECRET)],
        Protocol::Google => vec![("GOOGLE_BEARER_TOKEN", TOKEN)],
        Protocol::Azure => {
            vec![("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT), ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_SECRET)]
        }
    };
    named.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

impl Bucket {
    fn new(protocol: Protocol, conversations: u32) -> Self {
        Self::of(protocol, &file(conversations, 2))
    }

    fn of(protocol: Protocol, export: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let stub = runtime.block_on(ObjectStoreStub::start(protocol));
        let url = format!("{}://bucket/some/prefix", scheme(protocol));
        let archiving = Archiving::of(Home::new(), &url, Database::sqlite, export);
        let environment = [server(&stub, protocol), credentials(protocol)].concat();
        Self { archiving, stub, environment, _runtime: runtime }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.archiving.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (said, answered) = (text(&output.stderr), text(&output.stdout));
        assert!(output.status.success(), "{arguments:?}: {said}{answered}");
        serde_json::from_str(&answered).unwrap()
    }

    /// What it says that fails: one sentence, and nothing in it that is secret, or that the server said.
    fn failure(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
        let known = [SECRET, AZURE_SECRET, TOKEN, "canary", "http"];
        assert!(known.iter().all(|secret| !said.contains(*secret)), "{arguments:?}: {said}");
        said
    }

    fn erase(&self, of: u32) -> Result<Value, String> {
        let certificate = self.archiving.home.0.path().join(format!("{of}.json"));
        let user = user(of);
        let all = ["erase", "--user", &user, "--yes", "--certificate", certificate.to_str().unwrap()];
        let output = self.run(&all);
        let said = text(&output.stderr);
        assert_eq!(certificate.exists(), output.status.success(), "{said}");
        if output.status.success() { Ok(read(&certificate)) } else { Err(said) }
    }

    /// The files of archives that are in the bucket; beside them is what the place is known by.
    fn files(&self) -> Vec<String> {
        let archives = "bucket/some/prefix/archives/";
        let known = format!("bucket/some/prefix/{MARK}");
        let (files, others): (Vec<_>, _) =
            self.stub.keys().into_iter().partition(|key| key.starts_with(archives));
        assert!(others == [known.clone()] || others == Vec::<String>::new(), "{others:?}");
        files
    }

    /// Copies what is in the bucket to where archives in a folder are.
    fn fetch(&self) {
        let folder = self.archiving.home.0.path().join("archive");
        let _ = fs::remove_dir_all(&folder);
        for key in self.files() {
            let path = folder.join(key.strip_prefix("bucket/some/prefix/").unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.stub.object(&key).unwrap()).unwrap();
        }
    }
}

fn written_read_replaced_and_deleted(protocol: Protocol) {
    let bucket = Bucket::new(protocol, 6);
    let before = bucket.archiving.exported();
    assert_eq!(bucket.json(&["doctor"])["healthy"], true);
    assert_eq!(bucket.json(&["cleanup"])["archived"], 6);
    let keys = bucket.files();
    assert_eq!(keys.len(), 2, "{keys:?}");
    let archives = bucket.json(&["archive", "list"])["archives"].clone();
    assert_eq!((archives.as_array().unwrap().len(), &archives[0]["state"]), (1, &json!("complete")));
    let shown = bucket.json(&["archive", "show", archives[0]["archive_id"].as_str().unwrap()]);
    assert_eq!(shown["manifest"]["conversations"].as_array().unwrap().len(), 6);
    assert_eq!(bucket.json(&["archive", "verify"])["whole"], 1);
    assert_eq!(bucket.json(&["restore", "--user", &user(0)])["restored"], 2);
    assert_eq!(bucket.files().len(), 2, "the old archive is replaced");
    assert_ne!(bucket.files(), keys);
    assert_eq!(bucket.json(&["restore", "--all"])["restored"], 4);
    assert_eq!(bucket.files(), Vec::<String>::new());
    assert!(bucket.archiving.exported() == before, "all is as it was");
}

#[test]
fn an_archive_in_a_bucket_is_written_read_replaced_and_deleted_on_s3() {
    written_read_replaced_and_deleted(Protocol::S3);
}

#[test]
fn an_archive_in_a_bucket_is_written_read_replaced_and_deleted_on_google() {
    written_read_replaced_and_deleted(Protocol::Google);
}

#[test]
fn an_archive_in_a_bucket_is_written_read_replaced_and_deleted_on_azure() {
    written_read_replaced_and_deleted(Protocol::Azure);
}

/// Of several archives, whose lists go over pages, one user's conversations leave, and others' come back as they were.
fn erased(protocol: Protocol) {
    let bucket = Bucket::new(protocol, 6);
    let before = bucket.archiving.exported();
    bucket.json(&["cleanup"]);
    bucket.json(&["restore", "--conversation", &conversation(0)]);
    bucket.archiving.database.age();
    bucket.json(&["cleanup"]);
    let keys = bucket.files();
    assert_eq!(keys.len(), 4, "two archives: {keys:?}");
    assert_eq!(bucket.json(&["archive", "verify"])["whole"], 2);
    bucket.fetch();
    assert!(bucket.archiving.has_anywhere(1));

    let document = bucket.erase(1).unwrap();
    let certificate = &document["certificate"];
    assert_eq!(certificate["archived_conversations"], 2, "{certificate}");
    assert_eq!(certificate["archives"].as_array().unwrap().len(), 1, "{certificate}");
    assert_eq!(certificate["archives"][0]["place"], bucket.archiving.url.as_str());
    bucket.fetch();
    assert!(!bucket.archiving.has_anywhere(1));
    assert_eq!(bucket.files().len(), 4, "it is written anew without them");
    assert_eq!(bucket.json(&["erase", "--user", &user(1), "--verify"])["erased"], true);
    assert_eq!(bucket.json(&["restore", "--all"])["restored"], 4);
    let after = bucket.archiving.exported();
    for other in [0, 2] {
        assert_eq!(lines_of(&after, other), lines_of(&before, other));
    }
    assert_eq!(bucket.files(), Vec::<String>::new());
    assert_eq!(bucket.archiving.json(&["audit", "verify"])["intact"], true);
}

#[test]
fn archived_conversations_are_erased_from_a_bucket_on_s3() {
    erased(Protocol::S3);
}

#[test]
fn archived_conversations_are_erased_from_a_bucket_on_google() {
    erased(Protocol::Google);
}

#[test]
fn archived_conversations_are_erased_from_a_bucket_on_azure() {
    erased(Protocol::Azure);
}

/// What is more than goes at once goes in parts. What a process had sent when it was killed is no object, and is in
/// nobody's way; what one sends in vain that goes on, it takes back where the protocol has a way: Azure has none, and
/// drops such blocks by itself.
fn in_parts(protocol: Protocol) {
    let bucket = Bucket::of(protocol, &large());
    let before = bucket.archiving.exported();
    let takes_back = protocol != Protocol::Azure;
    bucket.stub.refuse_part(2);
    let said = bucket.failure(&["cleanup"]);
    assert!(
        said.contains("cannot be written: access is denied"),
        "the place's failure, no conversation's: {said}"
    );
    assert_eq!((bucket.files().len(), bucket.stub.uploads()), (0, usize::from(!takes_back)));
    assert_eq!(bucket.archiving.database.places().0.len(), 1, "nothing is removed");
    bucket.stub.refuse_part(0);

    let mut killed = bucket.command(&["cleanup"]);
    let killed = killed.env("LCS_TEST_KILL_BEHIND", Step::Sending.as_str()).output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    assert_eq!(bucket.files().len(), 0);
    assert_eq!(bucket.archiving.database.places().0.len(), 1, "nothing is removed");
    let left = bucket.stub.uploads();
    assert!(!takes_back || left == 1, "{left}");

    assert_eq!(bucket.json(&["cleanup"])["archived"], 1);
    assert_eq!(bucket.files().len(), 2);
    let archives = bucket.json(&["archive", "list"]);
    let bytes = archives["archives"].as_array().unwrap().iter().filter_map(|one| one["bytes"].as_u64()).max();
    assert!(bytes > Some(8 * 1024 * 1024), "{archives}");
    let verified = bucket.json(&["archive", "verify"]);
    assert_eq!((&verified["whole"], &verified["damaged"]), (&json!(1), &json!([])), "{verified}");
    assert_eq!(verified["unfinished"], 1, "{verified}");
    bucket.archiving.forget_the_time();
    // One run gives it up, and the next one forgets it.
    bucket.json(&["cleanup"]);
    bucket.json(&["cleanup"]);
    assert_eq!(bucket.json(&["archive", "verify"])["unfinished"], 0);
    assert_eq!(bucket.stub.uploads(), left, "what nobody can list, the bucket's own rule deletes");
    assert_eq!(bucket.json(&["restore", "--all"])["restored"], 1);
    assert_eq!(bucket.files(), Vec::<String>::new());
    assert!(bucket.archiving.exported() == before, "all is as it was");
}

#[test]
fn a_large_archive_goes_in_parts_and_is_whole_or_not_there_on_s3() {
    in_parts(Protocol::S3);
}

#[test]
fn a_large_archive_goes_in_parts_and_is_whole_or_not_there_on_google() {
    in_parts(Protocol::Google);
}

#[test]
fn a_large_archive_goes_in_blocks_and_is_whole_or_not_there_on_azure() {
    in_parts(Protocol::Azure);
}
