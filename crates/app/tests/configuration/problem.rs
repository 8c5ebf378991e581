//! Everything that is wrong with a file is said at once.

use crate::problems;

/// The keys of the file below, in the order in which they are read.
const WRONG: &[&str] = &[
    "database.colour",
    "service.colour",
    "authentication.colour",
    "database.host",
    "database.port",
    "database.password_file",
    "database.ssl_mode",
    "database.namespace",
    "database.row_level_security",
    "database.ca_cert_path",
    "database.pool_timeout",
    "database.pool_size",
    "database.max_overflow",
    "database.pool_recycle",
    "agent_cache_max_size",
    "agent_cache_max_bytes",
    "agent_cache_ttl_seconds",
    "conversation_retention_days",
    "archived_conversation_retention_days",
    "deleted_conversation_retention_days",
    "retention_conversations_per_second",
    "max_document_bytes",
    "recent_turns",
    "enable_archival",
    "archive_url",
    "coalesce_appends",
    "fallback.mode",
    "fallback.failures_to_open",
    "fallback.probe_interval_seconds",
    "fallback.journal_path",
    "fallback.journal_max_entries",
    "fallback.journal_max_bytes",
    "fallback.journal_max_age_seconds",
    "enable_rehydration",
    "require_database_at_start",
    "service.host",
    "service.port",
    "service.max_body_bytes",
    "service.max_header_bytes",
    "service.max_concurrent_requests",
    "service.request_timeout_seconds",
    "service.header_read_timeout_seconds",
    "service.shutdown_timeout_seconds",
    "service.request_lease_seconds",
    "service.retention_interval_seconds",
    "service.monitoring_interval_seconds",
    "authentication.module",
    "authentication.jwk_url",
    "authentication.allow_noop_beyond_loopback",
];

#[test]
fn all_problems_of_a_file_come_at_once_and_say_what_to_write() {
    let yaml = "
persistence:
  type: postgresql
  database:
    host: http://db
    port: 70000
    password: x
    password_file: /nowhere/password
    ssl_mode: always
    namespace: pg_catalog
    row_level_security: perhaps
    pool_size: 0
    max_overflow: -1
    pool_timeout: 30s
    pool_recycle: 0
    ca_cert_path: /nowhere/ca.pem
    colour: teal
  agent_cache_max_size: 0
  agent_cache_max_bytes: 1
  agent_cache_ttl_seconds: 99999999999
  enable_rehydration: maybe
  conversation_retention_days: 40000
  archived_conversation_retention_days: 0
  deleted_conversation_retention_days: -1
  retention_conversations_per_second: fast
  enable_archival: perhaps
  archive_url: /var/lib/archive
  fallback:
    mode: ledger
    failures_to_open: 0
    probe_interval_seconds: 0
    journal_path: ~/journal
    journal_max_entries: 0
    journal_max_bytes: 1
    journal_max_age_seconds: a day
  require_database_at_start: perhaps
  max_document_bytes: 1
  recent_turns: 201
  coalesce_appends: sometimes
  service:
    host: http://0.0.0.0
    port: 65536
    max_body_bytes: 1
    max_header_bytes: 8191
    max_concurrent_requests: 0
    request_timeout_seconds: 0
    header_read_timeout_seconds: 0
    shutdown_timeout_seconds: 0
    request_lease_seconds: 0
    retention_interval_seconds: -1
    monitoring_interval_seconds: 86401
    colour: teal
  authentication:
    module: basic
    allow_noop_beyond_loopback: perhaps
    jwk_url: https://issuer.example/jwks.json
    colour: teal
";
    let problems = problems(yaml);
    let keys: Vec<&str> =
        problems.iter().filter_map(|problem| problem.split_once(": ")).map(|(key, _)| key).collect();
    assert_eq!(keys, WRONG.iter().map(|key| format!("persistence.{key}")).collect::<Vec<_>>());
    for problem in &problems {
        let says_what_to_do =
            ["write", "keep", "remove", "the keys here are"].iter().any(|word| problem.contains(word));
        assert!(says_what_to_do && !problem.ends_with('.') && !problem.contains('\n'), "{problem}");
    }
    assert!(
        problems.contains(
            &"persistence.database.port: \"70000\" is out of range: write a whole number from 1 to 65535"
                .to_owned()
        ),
        "{problems:#?}"
    );
}
