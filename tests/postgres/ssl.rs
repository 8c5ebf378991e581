//! The six ssl modes, against servers with real certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lcs_domain::Repositories;
use lcs_storage::postgres::{Postgres, PostgresConfig, SslMode};
use lcs_storage::testing::{PrivateCluster, PrivateOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::config;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The authority's certificate as a file of the configuration.
fn ca_file(folder: &Path, name: &str, authority: &Authority) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, authority.pem()).unwrap();
    path
}

/// Starts a server that shows this certificate, logs who connects, and has a role for the tests that is
/// admitted by these rules.
async fn start(certificate: &str, key: &str, rules: &[&str]) -> PrivateCluster {
    let mut access = rules.to_vec();
    access.push("host all all all scram-sha-256");
    let cluster = PrivateCluster::start_with(PrivateOptions {
        settings: &[
            "ssl = on",
            "ssl_cert_file = 'server.crt'",
            "ssl_key_file = 'server.key'",
            "log_connections = on",
        ],
        access: &access,
        files: &[("server.crt", certificate), ("server.key", key)],
        ..PrivateOptions::default()
    });
    cluster.database().await.execute("CREATE ROLE app LOGIN PASSWORD 'app'").await;
    cluster
}

/// Starts a server whose certificate names `localhost` and is signed by `issuer`.
async fn start_signed(issuer: &Authority, rules: &[&str]) -> PrivateCluster {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap().pem();
    start(&certificate, &key.serialize_pem(), rules).await
}

/// How the server says it was connected to: `tls` or `plain`; or why it was not.
async fn connect(cluster: &PrivateCluster, host: &str, mode: SslMode, ca: Option<&PathBuf>) -> String {
    let begun = cluster.log().len();
    let config = PostgresConfig {
        host: host.into(),
        user: "app".into(),
        password: Some("app".to_owned().into()),
        ssl_mode: mode,
        ca_cert_path: ca.cloned(),
        connect_timeout: Duration::from_secs(30),
        ..config(&cluster.url())
    };
    let store = match Postgres::connect(config).await {
        Ok(store) => store,
        Err(error) => return error.to_string(),
    };
    if let Err(error) = store.ping().await {
        return error.to_string();
    }
    let log = cluster.log().split_off(begun);
    let line = log.lines().rfind(|line| line.contains("connection authorized: user=app")).unwrap();
    if line.contains("SSL enabled") { "tls".into() } else { "plain".into() }
}

#[tokio::test]
async fn each_mode_encrypts_and_checks_what_libpq_says_it_does() {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (authority("ours"), authority("other"));
    let ours_file = ca_file(folder.path(), "ours.pem", &ours);
    let other_file = ca_file(folder.path(), "other.pem", &other);
    let cluster = start_signed(&ours, &[]).await;
    let (ours, other) = (Some(&ours_file), Some(&other_file));
    for (mode, ca, host, expected) in [
        (Disable, None, "localhost", "plain"),
        (Allow, None, "localhost", "plain"),
        (Prefer, None, "localhost", "tls"),
        (Prefer, other, "127.0.0.1", "tls"),
        (Require, None, "127.0.0.1", "tls"),
        (Require, ours, "127.0.0.1", "tls"),
        (Require, other, "localhost", "no trusted authority has signed it"),
        (VerifyCa, ours, "127.0.0.1", "tls"),
        (VerifyCa, other, "localhost", "no trusted authority has signed it"),
        (VerifyFull, ours, "localhost", "tls"),
        (VerifyFull, ours, "127.0.0.1", "it names another host"),
        (VerifyFull, other, "localhost", "no trusted authority has signed it"),
    ] {
        let came = connect(&cluster, host, mode, ca).await;
        assert!(came.contains(expected), "{mode} with {ca:?} at {host}: expected {expected}, got {came}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_enough_to_encrypt_and_not_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let file = ca_file(folder.path(), "ca.pem", &authority("ours"));
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cluster = start(&own.cert.pem(), &own.signing_key.serialize_pem(), &[]).await;
    assert_eq!(connect(&cluster, "localhost", SslMode::Require, None).await, "tls");
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let came = connect(&cluster, "localhost", mode, Some(&file)).await;
        assert!(came.contains("no trusted authority has signed it"), "{mode}: {came}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_the_given_one_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let valid = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(4000, 1, 1));
    let expired = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (is_ca, (from, to), by_name, by_address) in [
        (ca, valid, "tls", "it names another host"),
        (IsCa::NoCa, valid, "tls", "it names another host"),
        (ca, expired, "it has expired", "it has expired"),
    ] {
        // As `openssl req -x509` makes it: its own authority.
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.is_ca, params.not_before, params.not_after) = (is_ca, from, to);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let file = folder.path().join("own.pem");
        std::fs::write(&file, &certificate).unwrap();
        let cluster = start(&certificate, &key.serialize_pem(), &[]).await;
        for (mode, host, expected) in [
            (SslMode::VerifyCa, "127.0.0.1", by_name),
            (SslMode::VerifyFull, "localhost", by_name),
            (SslMode::VerifyFull, "127.0.0.1", by_address),
        ] {
            let came = connect(&cluster, host, mode, Some(&file)).await;
            assert!(came.contains(expected), "{mode} at {host}: expected {expected}, got {came}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_encryption_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let file = ca_file(folder.path(), "ca.pem", &authority("ours"));
    let cluster = PrivateCluster::start(&["log_connections = on"]);
    cluster.database().await.execute("CREATE ROLE app LOGIN PASSWORD 'app'").await;
    for mode in [SslMode::Disable, SslMode::Allow, SslMode::Prefer] {
        assert_eq!(connect(&cluster, "localhost", mode, None).await, "plain", "{mode}");
    }
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        let came = connect(&cluster, "localhost", mode, Some(&file)).await;
        let expected = format!("offers no TLS and ssl_mode is {mode}: switch ssl on at the server");
        assert!(came.contains(&expected), "{came}");
    }
}

#[tokio::test]
async fn allow_and_prefer_try_the_other_way_where_the_server_s_rules_want_it() {
    let ours = authority("ours");
    let encrypted = start_signed(&ours, &["hostnossl all app all reject"]).await;
    assert_eq!(connect(&encrypted, "localhost", SslMode::Allow, None).await, "tls");
    assert_eq!(connect(&encrypted, "localhost", SslMode::Prefer, None).await, "tls");
    let came = connect(&encrypted, "localhost", SslMode::Disable, None).await;
    assert!(came.contains("does not admit user \"app\""), "{came}");
    let plain = start_signed(&ours, &["hostssl all app all reject"]).await;
    assert_eq!(connect(&plain, "localhost", SslMode::Prefer, None).await, "plain");
    let came = connect(&plain, "localhost", SslMode::Require, None).await;
    assert!(came.contains("does not admit user \"app\""), "{came}");
}
