//! The service's part: where it listens, what it takes, and who is let in.

use std::time::Duration;

use std::fs;

use lcs_app::configuration::{AuthenticationModule, JwkSource};
use secrecy::ExposeSecret;

use super::{problems, read};

/// A section `authentication` with these lines.
fn authentication(lines: &[&str]) -> String {
    lines.iter().fold("persistence:\n  authentication:\n".into(), |yaml, line| format!("{yaml}    {line}\n"))
}

#[test]
fn the_service_has_the_documented_defaults() {
    let service = read("").unwrap().service;
    assert_eq!((service.host.as_str(), service.port), ("127.0.0.1", 8080));
    assert_eq!((service.max_body_bytes, service.max_header_bytes), (8 * 1_048_576, 16_384));
    assert_eq!((service.max_concurrent_requests, service.request_timeout), (512, Duration::from_secs(330)));
    assert_eq!(service.header_read_timeout, Duration::from_secs(10));
    assert_eq!(service.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(service.request_lease, Duration::from_secs(30));
    assert_eq!(service.retention_interval, Some(Duration::from_hours(1)));
    assert_eq!(service.monitoring_interval, Some(Duration::from_mins(1)));
    assert!(matches!(service.authentication.module, AuthenticationModule::Noop));

    let yaml = "persistence: {service: {host: \"::\", port: \"${env.PG_PORT}\", retention_interval_seconds: 0, \
                monitoring_interval_seconds: 0}}";
    let service = read(yaml).unwrap().service;
    assert_eq!((service.host.as_str(), service.port), ("::", 6432));
    assert_eq!((service.retention_interval, service.monitoring_interval), (None, None));
}

#[test]
fn a_module_that_checks_nothing_is_for_this_machine_alone() {
    for (host, is_ours) in
        [("127.0.0.1", true), ("localhost", true), ("0.0.0.0", false), ("db.example", false)]
    {
        for module in ["noop", "noop-with-token"] {
            let mut service = read(&authentication(&[&format!("module: {module}")])).unwrap().service;
            service.host = host.into();
            let refused = service.check().err();
            assert_eq!(refused.is_none(), is_ours, "{module} {host}");
            assert!(refused.is_none_or(|message| message.contains(module) && message.contains(host)));
            service.authentication.allow_noop_beyond_loopback = true;
            assert_eq!(service.check(), Ok(()));
        }
        let mut service = read(&authentication(&["module: api-key-token", "api_key: x"])).unwrap().service;
        service.host = host.into();
        assert_eq!(service.check(), Ok(()));
    }
}

#[test]
fn each_module_is_read_with_what_it_needs() {
    let module = |lines: &[&str]| read(&authentication(lines)).unwrap().service.authentication.module;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "canary-key\n").unwrap();
    for line in ["api_key: canary-key", &format!("api_key_file: {}", file.display())] {
        let read = module(&["module: api-key-token", line]);
        assert!(!format!("{read:?}").contains("canary"), "{read:?}");
        let AuthenticationModule::ApiKeyToken { api_key } = read else { panic!("{read:?}") };
        assert_eq!(api_key.expose_secret(), "canary-key");
    }

    let AuthenticationModule::JwkToken(jwk) = module(&[
        "module: JWK-token",
        "jwk_url: https://sso.example/keys",
        "issuer: i",
        "user_id_claim: sub",
    ]) else {
        panic!("another module");
    };
    assert!(matches!(&jwk.source, JwkSource::Url(url) if url.as_str() == "https://sso.example/keys"));
    assert_eq!((jwk.issuer.as_deref(), jwk.audience.as_deref()), (Some("i"), None));
    assert_eq!((jwk.user_id_claim.as_str(), jwk.username_claim.as_str()), ("sub", "username"));

    let proxies = "trusted_proxies: 10.0.0.7, 10.1.0.0/16,::1 , fd00::/8";
    let AuthenticationModule::TrustedProxy(proxy) = module(&["module: trusted-proxy", proxies]) else {
        panic!("another module");
    };
    let networks: Vec<String> = proxy.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.7/32", "10.1.0.0/16", "::1/128", "fd00::/8"]);
    assert_eq!((proxy.user_header.as_str(), proxy.username_header), ("x-user", None));
}

#[test]
fn a_module_without_what_it_needs_or_with_anothers_is_a_problem() {
    let cases: [(&[&str], &str, &str); 24] = [
        (&["module: k8s"], "module", "write trusted-proxy"),
        (&["module: rh-identity", "user_header: X-User"], "module", "write trusted-proxy"),
        (&["module: api-key-token"], "api_key", "write api_key or api_key_file"),
        (&["module: api-key-token", "api_key: \"\""], "api_key", "write api_key or api_key_file"),
        (&["module: api-key-token", "api_key: canary kéy"], "api_key", "no client can send it"),
        (&["module: api-key-token", "api_key: canary", "api_key_file: /x"], "api_key_file", "keep one of"),
        (&["module: api-key-token", "api_key_file: /nowhere"], "api_key_file", "cannot be read"),
        (&["api_key: canary"], "api_key", "write module: api-key-token"),
        (&["module: jwk-token"], "jwk_url", "write jwk_url or jwk_file"),
        (&["module: jwk-token", "jwk_url: ${env.UNSET:=}"], "jwk_url", "write jwk_url or jwk_file"),
        (&["module: jwk-token", "jwk_file: ~/keys"], "jwk_file", "not expanded"),
        (&["module: jwk-token", "jwk_url: issuer.example"], "jwk_url", "it is no URL"),
        (&["module: jwk-token", "jwk_url: ftp://issuer.example"], "jwk_url", "it is no URL"),
        (&["module: jwk-token", "jwk_url: https://a:canary@b"], "jwk_url", "it holds credentials"),
        (&["module: jwk-token", "jwk_url: https://b", "jwk_file: /x"], "jwk_file", "keep one of them"),
        (&["jwk_file: /x"], "jwk_file", "write module: jwk-token"),
        (&["module: trusted-proxy"], "trusted_proxies", "needs to know the proxies"),
        (
            &["module: trusted-proxy", "trusted_proxies: \" , \""],
            "trusted_proxies",
            "needs to know the proxies",
        ),
        (&["module: trusted-proxy", "trusted_proxies: proxy"], "trusted_proxies", "no address"),
        (&["module: trusted-proxy", "trusted_proxies: 0.0.0.0/0"], "trusted_proxies", "everyone"),
        (
            &["module: trusted-proxy", "trusted_proxies: ::1", "user_header: a b"],
            "user_header",
            "header's name",
        ),
        (&["trusted_proxies: ::1"], "trusted_proxies", "write module: trusted-proxy"),
        (&["api_key_config: {api_key: canary}"], "api_key_config", "did you mean api_key?"),
        (&["jwk_config: {url: x}"], "jwk_config", "did you mean jwk_url?"),
    ];
    for (lines, key, message) in cases {
        let problems = problems(&authentication(lines));
        let [problem] = problems.as_slice() else { panic!("{lines:?}: {problems:?}") };
        let begins = problem.starts_with(&format!("persistence.authentication.{key}: "));
        assert!(begins && problem.contains(message) && !problem.contains("canary"), "{lines:?}: {problem}");
    }
}
