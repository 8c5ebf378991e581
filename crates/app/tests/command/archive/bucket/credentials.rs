//! The ways in which a bucket's credentials can be given.

use lcs_tests::object_store_stub::{ACCOUNT, Protocol, TOKEN};

use super::*;

/// A key with which nothing is signed but tokens for the server of the tests.
const KEY: &str = "\
    MIIEuwIBADANBgkqhkiG9w0BAQEFAASCBKUwggShAgEAAoIBAQCwzwC6qQhExP2hmP4iHAgVlhu43oHco/PXEKaNIqY7phLNW8rixDtB\
    Uanez6GHaxWUsF/h16x0WfDoB3yP5AIXVKbW2rHcd5oNAsb8m8UNf2qZ6YVaPDG5Njt98vC8AvHy8Rri0pxayWSrJOmHBWkr109HjppL\
    10xG9n7iGUsP+T1zTKkzJKGmLor49Xqe9yfyP0Rv2rLijP3VUdt0x6ZunCUde5j5HfE4qBQcvHFBdJYEbIxSLRJ9dBS1OEbC03oZI+KJ\
    Q31DITzqbqidYaxe7wdyYvgY7pKINuZvlCT2DrAXd3lBebzrnUlRUJW1FkgeCUPAeJKVkT2qi5cwcLBZAgMBAAECgf8cUQrM2kV4vhPg\
    zZ/l1pd03ZWTBg/GRnvG9eO2ttXot7BLM2hK6SKUU3/hL1+vUHckWRsCEIiOGdl7T7ejU+EB24zc3CmgJYeGjetQiaIFh2KLQ9sXmIxe\
    HVFp2n6zncUiI3sq2JAx+g8lWcQM29D8NH999li/zLtqog+wJlzfMcao+aEO9wKNdVRkQDNl4/sptrJnY30Acojnpxg1FQefrvz0SsCb\
    fH3xMgP162Sj5XNQNHt+V6Ijaw7HHRpoMMP5RSXcoz55GZUbJKLs9WRJXrr95mqJQ/NgGTbVOjQXTWAObcl/u2Fc//8p1268OfhzFhEW\
    Y9LB3YfXIndiPNUCgYEA+OOHtllq5fjMsHKc5nz56oiJz0Rqg9JyJRYrSHtwkvGqQY3DnQrjaka5eoq1FGs/0BTUkd2+NiKlXRZa6sFP\
    v7c/3KbOTlQCXgfh+2YqexPnpuL3X+rvY9yqVpFhMmhnsg5qX8nHNaDqInBJ9KFMplFgI61ODTskewEYFxHfR6cCgYEAtdxABV9h5CdW\
    GeafzoVSSZET/c0+5/FJcqUBHTatApe135Q2saHPwrVx/H+z+67vhjAvG46AzN2birCGsCtjbm4n8lQv1tP/Tf09HS1BsuJer3jAdjx5\
    BTSbnMi115b7fusOE6ymy2FNAGUoXwltz4efqFs9z1xeeZKQzg2vR/8CgYAEMVEH8VmrphVMo6GhAFn1aXdo1m406kah+U2hWvL6hren\
    gwvYiWZrU+Wr+soyHdxlVPR/wIyDvPGsL8Q4UClXwW6B+Q1gpGmly9wyr/XnPN6aIRiptPtzYzQ7YReSEdAtX7DLDEsezCcljV6xkEYK\
    RzSnZTP7ZROoPsx5FwP74QKBgQCCoTFvaoMjYkoLksgpjUR9SXOltB9CdeP/MJzrQhHmMdlXPtxGnedhgfndmFFNMOwmZEgCMEs+XNRU\
    O9aThqcGdKPHAkfWtTLG72dNpOtzNf0zZ7Y/d9KqNY6tgNJ1iKMgGHFlGng40KyB4yerlFdHYbECOn/cignmo6vWBqhoOwKBgHpXs7di\
    1m3QL220uPzoDRX9h3JH0MTmYEX4prXaDXbe9iZ5pYi8U62OFVm4BsgL0wteNPIa4+ZyBnTn/AiOFW26tKr76hWOYxDQZM+FYUtzhHhx\
    SqKtw9pP4Sc39zWePhDYxw4gawjW3th99k+6ZUKJGkWOnXraBzzckC96XnvS";

impl Bucket {
    /// Replaces the environment, and says what comes of it.
    fn given(&mut self, environment: &[(&'static str, &str)]) -> &Self {
        self.environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }

    fn assert_taken(&mut self, environment: &[(&'static str, &str)]) {
        let doctor = self.given(environment).json(&["doctor"]);
        assert_eq!(doctor["healthy"], true, "{environment:?}: {doctor}");
    }

    fn assert_failing(&mut self, environment: &[(&'static str, &str)], reason: &str) {
        let said = self.given(environment).failure(&["cleanup"]);
        assert!(said.contains(reason), "{environment:?}: {said}");
        assert_eq!(self.archiving.database.places().0.len(), 3, "nothing is removed");
    }
}

/// What stands in an address gets into logs: of libraries, and of the servers on the way.
#[test]
fn canary_credentials_in_the_address_of_a_server_are_refused_and_in_no_line_of_the_log() {
    for (protocol, variable, belong) in [
        (Protocol::S3, "AWS_ENDPOINT", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (Protocol::Google, "GOOGLE_BASE_URL", "GOOGLE_APPLICATION_CREDENTIALS"),
        (
            Protocol::Azure,
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        ),
        (
            Protocol::Azure,
            "AZURITE_BLOB_STORAGE_URL",
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ] {
        let mut bucket = Bucket::new(protocol, 3);
        let url = bucket.stub.url().replace("://", "://user:canary@");
        bucket.environment.push((variable, url));
        let said = bucket.failure(&["cleanup"]);
        let refused = format!(
            "cannot be opened: there are credentials in the address that {variable} holds: write it without them, and \
             give them as {belong}"
        );
        assert!(said.contains(&refused), "{said}");
        assert_eq!(bucket.archiving.database.places().0.len(), 3, "nothing is removed");
        let output = bucket.run(&["--log-level", "trace", "cleanup"]);
        assert!(!text(&output.stderr).contains("canary"), "{variable}: {}", text(&output.stderr));
    }
}

#[test]
fn of_libraries_no_line_below_a_warning_is_in_the_log() {
    let bucket = Bucket::new(Protocol::S3, 3);
    for level in
        ["trace", "lcs_storage=info,hyper_util=trace,hyper_util::client::legacy=trace,object_store=trace"]
    {
        let output = bucket.run(&["--log-level", level, "--log-format", "json", "doctor"]);
        let log = text(&output.stderr);
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let foreign: Vec<Value> =
            lines.filter(|line| !line["target"].as_str().unwrap().starts_with("lcs_")).collect();
        assert!(
            foreign.iter().all(|line| line["level"] == "WARN" || line["level"] == "ERROR"),
            "{foreign:?}"
        );
        assert!(log.contains("\"target\":\"lcs_storage"), "ours are there: {log}");
    }
}

#[test]
fn canary_the_credentials_of_google_are_a_file_a_token_or_the_machines() {
    let mut bucket = Bucket::new(Protocol::Google, 3);
    let url = bucket.stub.url();
    let account = |more: Value| {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
        let mut account = json!({
            "type": "service_account", "client_email": ACCOUNT, "private_key": pem, "private_key_id": "1",
        });
        account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        account.to_string()
    };
    let home = bucket.archiving.home.0.path().to_owned();
    let written = |name: &str, text: &str| {
        let path = home.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let signs = written("signs.json", &account(json!({})));
    bucket.assert_taken(&[("GOOGLE_APPLICATION_CREDENTIALS", &signs), ("GOOGLE_BASE_URL", &url)]);
    let knows = account(json!({"gcs_base_url": url}));
    bucket.assert_taken(&[("GOOGLE_SERVICE_ACCOUNT", &written("knows.json", &knows))]);
    bucket.assert_taken(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &knows)]);
    bucket.assert_taken(&[("GOOGLE_BEARER_TOKEN", TOKEN), ("GOOGLE_BASE_URL", &url)]);
    let machine = url.strip_prefix("http://").unwrap().to_owned();
    bucket.assert_taken(&[("GCE_METADATA_HOST", &machine), ("GOOGLE_BASE_URL", &url)]);

    let none = format!("{machine}/none");
    bucket.assert_failing(
        &[("GCE_METADATA_HOST", &none), ("GCE_METADATA_IP", &none), ("GOOGLE_BASE_URL", &url)],
        ": the credentials in the environment, or those of the machine, give no token",
    );
    let look = "cannot be opened: what the environment says of it cannot be used";
    for (credentials, why) in [
        (home.join("none.json").to_str().unwrap(), " (No such file or directory (os error 2))"),
        (written("no.json", "a canary").as_str(), ""),
        (written("odd.json", r#"{"type": "canary"}"#).as_str(), ""),
    ] {
        let reason = format!("{look}{why}: look at GOOGLE_APPLICATION_CREDENTIALS");
        bucket.assert_failing(&[("GOOGLE_APPLICATION_CREDENTIALS", credentials)], &reason);
    }
    let anyone = account(json!({"gcs_base_url": url, "disable_oauth": true, "private_key": ""}));
    bucket.assert_failing(
        &[("GOOGLE_SERVICE_ACCOUNT_KEY", &anyone)],
        "the credentials in the environment are not taken",
    );
    bucket.stub.admit_anyone();
    bucket.assert_taken(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &anyone)]);
}

#[test]
fn canary_the_credentials_of_azure_are_a_key_a_signature_a_token_or_the_machines() {
    let mut bucket = Bucket::new(Protocol::Azure, 3);
    let url = bucket.stub.url();
    let machine = format!("{url}/identity");
    let server = [("AZURE_STORAGE_ENDPOINT", url.as_str()), ("AZURE_ALLOW_HTTP", "true")];
    let account = ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT);
    let sas = format!("?sv=2023-11-03&sp=rwdl&sig={TOKEN}");
    for credentials in [
        [account, ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_SECRET)],
        [("AZURE_STORAGE_ACCOUNT", ACCOUNT), ("AZURE_STORAGE_KEY", AZURE_SECRET)],
        [account, ("AZURE_STORAGE_SAS_TOKEN", &sas)],
        [account, ("IDENTITY_ENDPOINT", &machine)],
    ] {
        bucket.assert_taken(&[server, credentials].concat());
    }
    // An emulator on this machine has an account of its own, which its addresses begin with.
    let emulator = [("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", url.as_str())];
    bucket.assert_taken(&[emulator, [account, ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_SECRET)]].concat());

    let refused = ": access is denied (AuthenticationFailed): ";
    let sas = [account, ("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sig=a-canary")];
    bucket.assert_failing(&[server, sas].concat(), refused);
    let none = format!("{url}/none");
    bucket.assert_failing(
        &[server, [account, ("IDENTITY_ENDPOINT", &none)]].concat(),
        ": the credentials in the environment, or those of the machine, give no token",
    );
    let look = "cannot be opened: what the environment says of it cannot be used: look at AZURE_STORAGE_ACCOUNT_NAME";
    bucket.assert_failing(&[("AZURE_STORAGE_ACCOUNT_KEY", AZURE_SECRET)], look);
    bucket.assert_failing(&[account, ("AZURE_STORAGE_ACCOUNT_KEY", "no base64: a canary")], look);
    // What has no TLS is not spoken to unless that is said.
    let without = [server[0], account, ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_SECRET)];
    bucket.assert_failing(&without, ": it did not answer as it should");
}
