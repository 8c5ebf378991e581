//! The configuration as an operator meets it: the files that are read, and what is said of those that are not.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod fallback;
mod operator;
mod problem;
mod service;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lcs_app::configuration::{Configuration, ConfigurationError, StoreConfiguration};
use lcs_storage::postgres::{Pooler, PostgresConfig, SslMode, TargetSessionAttrs};
use lcs_storage::sqlite::{SqliteConfig, SqliteFile};
use secrecy::{ExposeSecret, SecretString};

/// A password with every character that has a meaning in a URL or in YAML.
const CANARY: &str = "canary@/%:#?";

const LCS_EXAMPLE: &str = r#"
name: Lightspeed Core Service
service: {host: localhost, port: 8080, auth_enabled: false}
llama_stack: {use_as_library_client: false, url: "http://localhost:8321"}
mcp_servers: [{name: server1, url: "http://localhost:3000"}]
persistence:
  type: postgresql
  database:
    host: db.example
    port: 6432
    name: lightspeed
    username: lightspeed_user
    password: "canary@/%:#?"
    ssl_mode: require
    pool_size: 5
    max_overflow: 0
    pool_timeout: 3
    pool_recycle: -1
  agent_cache_max_size: 10
  agent_cache_ttl_seconds: 60
  enable_rehydration: no
  conversation_retention_days: 7
  enable_archival: false
"#;

fn environment(name: &str) -> Option<OsString> {
    match name {
        "PG_PASSWORD" => Some(CANARY.into()),
        "PG_PORT" => Some("6432".into()),
        _ => None,
    }
}

fn read(yaml: &str) -> Result<Configuration, ConfigurationError> {
    Configuration::from_yaml(yaml, &environment)
}

/// A section with a complete `database` and `lines` in it besides.
fn database_with(lines: &[&str]) -> String {
    let mut yaml =
        "persistence:\n  type: postgresql\n  database:\n    name: lcs\n    username: alice\n".to_owned();
    for line in lines {
        yaml = format!("{yaml}    {line}\n");
    }
    yaml
}

fn database(configuration: Configuration) -> PostgresConfig {
    match configuration.store {
        StoreConfiguration::Postgresql(database) => *database,
        other => panic!("{other:?}"),
    }
}

fn sqlite_path(configuration: Configuration) -> PathBuf {
    match configuration.store {
        StoreConfiguration::Sqlite(SqliteConfig { file: SqliteFile::Path(path), .. }) => path,
        other => panic!("{other:?}"),
    }
}

fn problems(yaml: &str) -> Vec<String> {
    read(yaml).expect_err(yaml).problems().iter().map(ToString::to_string).collect()
}

fn password(configuration: Configuration) -> Option<String> {
    database(configuration).password.map(|password| password.expose_secret().to_owned())
}

#[test]
fn every_key_that_lcs_documents_is_read() {
    let configuration = read(LCS_EXAMPLE).unwrap();
    assert_eq!(
        (configuration.agent_cache_max_size, configuration.agent_cache_ttl),
        (10, Duration::from_mins(1))
    );
    assert!(!configuration.enable_rehydration);
    assert_eq!(configuration.conversation_retention_days, 7);
    assert_eq!(configuration.archived_conversation_retention_days, 7, "as the other where it is not said");
    let database = database(configuration);
    assert_eq!((database.host.as_str(), database.port), ("db.example", 6432));
    assert_eq!((database.database.as_str(), database.user.as_str()), ("lightspeed", "lightspeed_user"));
    assert_eq!(database.password.unwrap().expose_secret(), CANARY);
    assert_eq!(database.ssl_mode, SslMode::Require);
    assert_eq!((database.pool_size, database.max_overflow), (5, 0));
    assert_eq!(database.pool_timeout, Duration::from_secs(3));
    assert_eq!(database.pool_recycle, None);
}

#[test]
fn several_servers_a_pooler_and_the_time_limits_are_read() {
    let servers = |lines: &[&str]| {
        let database = database(read(&database_with(lines)).unwrap());
        let others = database.other_servers.iter().map(|server| (server.host.clone(), server.port));
        std::iter::once((database.host.clone(), database.port)).chain(others).collect::<Vec<_>>()
    };
    let at = |host: &str, port| (host.to_owned(), port);
    assert_eq!(servers(&["host: db1, db2"]), [at("db1", 5432), at("db2", 5432)]);
    assert_eq!(servers(&["host: db1,db2", "port: 6432"]), [at("db1", 6432), at("db2", 6432)]);
    assert_eq!(servers(&["host: \"db1,/run\"", "port: \"1, 2\""]), [at("db1", 1), at("/run", 2)]);
    for (lines, key) in [
        (["host: db1,", "port: 1"], "database.host"),
        (["host: db1,db2", "port: 1,2,3"], "database.port"),
        (["host: db1,db2", "port: 1,x"], "database.port"),
        (["pooler: pgbouncer", "port: 1"], "database.pooler"),
        (["target_session_attrs: primary", "port: 1"], "database.target_session_attrs"),
        (["operation_timeout: 0", "port: 1"], "database.operation_timeout"),
        (["lock_timeout: soon", "port: 1"], "database.lock_timeout"),
        (["connect_timeout: NaN", "port: 1"], "database.connect_timeout"),
    ] {
        let problems = problems(&database_with(&lines));
        assert!(problems.len() == 1 && problems[0].contains(key), "{problems:?}");
    }

    let defaults = database(read(&database_with(&[])).unwrap());
    assert_eq!((defaults.pooler, defaults.target_session_attrs), (Pooler::None, None));
    assert_eq!(defaults.operation_timeout, Duration::from_secs(10));
    assert_eq!(defaults.connect_timeout, Duration::from_millis(1500));
    assert_eq!(
        (defaults.statement_timeout, defaults.lock_timeout),
        (Duration::from_secs(3), Duration::from_secs(2))
    );
    assert_eq!(defaults.idle_in_transaction_timeout, Duration::from_secs(5));
    let lines = [
        "pooler: Session",
        "target_session_attrs: any",
        "operation_timeout: 20",
        "connect_timeout: 0.5",
        "statement_timeout: 2.25",
        "lock_timeout: 1",
        "idle_in_transaction_timeout: 4",
    ];
    let set = database(read(&database_with(&lines)).unwrap());
    assert_eq!((set.pooler, set.target_session_attrs), (Pooler::Session, Some(TargetSessionAttrs::Any)));
    assert_eq!(set.operation_timeout, Duration::from_secs(20));
    assert_eq!(set.connect_timeout, Duration::from_millis(500));
    assert_eq!(
        (set.statement_timeout, set.lock_timeout),
        (Duration::from_millis(2250), Duration::from_secs(1))
    );
    assert_eq!(set.idle_in_transaction_timeout, Duration::from_secs(4));

    // What a URL says stands above the file; what it leaves open does not.
    let load = |url: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), database_with(&lines)).unwrap();
        let url = SecretString::from(url.to_owned());
        database(Configuration::load_with(Some(file.path()), Some(&url), &environment).unwrap())
    };
    let url = load("postgresql://u@a:1,b:2/d?pooler=transaction&target_session_attrs=read-write");
    assert_eq!(
        (url.pooler, url.target_session_attrs),
        (Pooler::Transaction, Some(TargetSessionAttrs::ReadWrite))
    );
    assert_eq!((url.host.as_str(), url.port, url.other_servers.len()), ("a", 1, 1));
    let url = load("postgresql://u@a/d");
    assert_eq!((url.pooler, url.target_session_attrs), (Pooler::Session, Some(TargetSessionAttrs::Any)));
    assert!(url.other_servers.is_empty() && url.operation_timeout == Duration::from_secs(20));
}

#[test]
fn without_a_section_everything_is_its_default_and_sqlite() {
    for yaml in ["", "# nothing\n", "name: LCS\n", "persistence:\n", "persistence: {}\n"] {
        let configuration = read(yaml).unwrap();
        assert_eq!(
            (configuration.agent_cache_max_size, configuration.agent_cache_ttl),
            (1000, Duration::from_hours(1)),
            "{yaml}"
        );
        assert!(configuration.enable_rehydration);
        assert_eq!(configuration.conversation_retention_days, 90);
        assert_eq!(configuration.archived_conversation_retention_days, 90);
        assert_eq!(configuration.deleted_conversation_retention_days, 0);
        assert_eq!(configuration.retention_conversations_per_second, 20);
        let path = sqlite_path(configuration);
        assert!(path.ends_with("lcs-persistence/conversations.sqlite"), "{}", path.display());
    }
}

#[test]
fn a_database_has_the_documented_defaults() {
    let database = database(read(&database_with(&[])).unwrap());
    assert_eq!((database.host.as_str(), database.port), ("localhost", 5432));
    assert!(database.password.is_none() && database.ca_cert_path.is_none());
    assert_eq!((database.ssl_mode, database.namespace.as_str()), (SslMode::Prefer, "public"));
    assert_eq!((database.pool_size, database.max_overflow), (20, 30));
    assert_eq!(database.pool_timeout, Duration::from_secs(30));
    assert_eq!(database.pool_recycle, Some(Duration::from_hours(1)));
    assert!(!database.row_level_security);
    assert!(self::database(read(&database_with(&["row_level_security: yes"])).unwrap()).row_level_security);
}

#[test]
fn variables_stand_for_texts_and_numbers() {
    let yaml = database_with(&[
        "port: ${env.PG_PORT}",
        "password: ${env.PG_PASSWORD}",
        "host: db.${env.UNSET:=local}.example",
        "pool_size: \"${env.UNSET:=7}\"",
        "namespace: ${env.UNSET:=}",
    ]);
    let database = database(read(&yaml).unwrap());
    assert_eq!((database.port, database.pool_size), (6432, 7));
    assert_eq!((database.host.as_str(), database.namespace.as_str()), ("db.local.example", "public"));
    assert_eq!(database.password.unwrap().expose_secret(), CANARY);
    assert_eq!(
        problems(&database_with(&["port: ${env.UNSET}"])),
        ["persistence.database.port: the environment variable UNSET is not set: set it, \
          or write ${env.UNSET:=default} here"]
    );
}

#[test]
fn a_password_is_the_text_that_was_written() {
    for (written, expected) in [
        ("12345", "12345"),
        ("012345", "012345"),
        ("1e5", "1e5"),
        ("0x10", "0x10"),
        ("yes", "yes"),
        ("1.10", "1.10"),
        ("' with spaces '", " with spaces "),
        ("canary@/%:#?", CANARY),
        ("\"null\"", "null"),
    ] {
        let configuration = read(&database_with(&[&format!("password: {written}")])).unwrap();
        assert_eq!(password(configuration).as_deref(), Some(expected), "{written}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    for (line, expected) in [
        ("pool_sise: 3", "persistence.database.pool_sise: unknown key: did you mean pool_size?"),
        ("Pool-Timeout: 3", "persistence.database.Pool-Timeout: unknown key: did you mean pool_timeout?"),
        ("user: alice", "persistence.database.user: unknown key: did you mean username?"),
        ("db: lcs", "persistence.database.db: unknown key: did you mean name?"),
    ] {
        assert_eq!(problems(&database_with(&[line])), [expected]);
    }
    assert_eq!(
        problems("persistence: {sqlite: {colour: teal}}"),
        ["persistence.sqlite.colour: unknown key: the keys here are path"]
    );
    assert_eq!(
        problems("persistence: {agent_cache_size: 3}"),
        ["persistence.agent_cache_size: unknown key: did you mean agent_cache_max_size?"]
    );
    assert_eq!(
        problems("persistance: {type: memory}"),
        ["persistance: unknown section: did you mean persistence?"]
    );
}

#[test]
fn a_database_without_a_type_is_postgresql_as_in_lcs() {
    let database = database(read("persistence:\n  database: {password: x}\n").unwrap());
    assert_eq!((database.database.as_str(), database.user.as_str()), ("lightspeed_stack", "postgres"));
    for kind in ["sqlite", "memory"] {
        let configuration = read(&format!("persistence:\n  type: {kind}\n  database: {{name: lcs}}\n"));
        assert!(!matches!(configuration.unwrap().store, StoreConfiguration::Postgresql(_)), "{kind}");
    }
}

#[test]
fn a_password_comes_from_the_file_then_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{CANARY}\n")).unwrap();
    let with_file = database_with(&[&format!("password_file: {}", file.display())]);
    assert_eq!(password(read(&with_file).unwrap()).as_deref(), Some(CANARY));

    let from_environment = |name: &str| (name == "LCS_PERSISTENCE_PASSWORD").then(|| "from-env".into());
    let read = |yaml: &str| Configuration::from_yaml(yaml, &from_environment).unwrap();
    assert_eq!(password(read(&database_with(&[]))).as_deref(), Some("from-env"));
    assert_eq!(password(read(&database_with(&["password: mine"]))).as_deref(), Some("mine"));
    assert_eq!(password(read(&with_file)).as_deref(), Some(CANARY));
}

#[test]
fn a_url_stands_above_the_variable_and_the_variable_above_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lightspeed-stack.yaml");
    fs::write(&file, LCS_EXAMPLE).unwrap();
    let variable = |name: &str| (name == "LCS_PERSISTENCE_DATABASE_URL").then(|| "sqlite:from-env.db".into());
    let load = |url: Option<&str>, variable: &dyn Fn(&str) -> Option<OsString>| {
        let url = url.map(SecretString::from);
        Configuration::load_with(Some(&file), url.as_ref(), variable).unwrap()
    };
    assert!(matches!(load(Some("memory:"), &variable).store, StoreConfiguration::Memory));
    let from_variable = load(None, &variable);
    assert_eq!(sqlite_path(from_variable.clone()), PathBuf::from("from-env.db"));
    assert_eq!(from_variable.agent_cache_max_size, 10);
    assert_eq!(database(load(None, &|_| None)).host, "db.example");

    // What is not in the URL comes from the file, but for the credentials: they are another host's.
    let merged = database(load(Some("postgres://bob@other.example/lcs2"), &|_| None));
    assert_eq!(
        (merged.host.as_str(), merged.port, merged.database.as_str()),
        ("other.example", 5432, "lcs2")
    );
    assert!(merged.password.is_none());
    assert_eq!((merged.pool_size, merged.ssl_mode), (5, SslMode::Require));
    let merged = database(load(Some("postgres://bob:pw@other.example/lcs2?sslmode=disable"), &|_| None));
    assert_eq!(merged.ssl_mode, SslMode::Disable);
    assert_eq!(merged.password.unwrap().expose_secret(), "pw");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_problem_and_not_another_store() {
    use std::os::unix::ffi::OsStringExt;

    for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD"] {
        let environment = |name: &str| (name == variable).then(|| OsString::from_vec(b"canary\xff".to_vec()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lightspeed-stack.yaml");
        fs::write(&file, database_with(&[])).unwrap();
        let error = Configuration::load_with(Some(&file), None, &environment).unwrap_err().to_string();
        assert!(error.contains(&format!("variable {variable} is not UTF-8 text")), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn a_certificate_that_nothing_looks_at_is_a_problem() {
    for mode in ["disable", "allow", "prefer"] {
        let lines = [&format!("ssl_mode: {mode}"), "ca_cert_path: /nowhere/ca.pem"];
        let expected = format!(
            "persistence.database.ca_cert_path: it is not used with ssl_mode {mode}: \
             remove it, or write verify-full or verify-ca"
        );
        assert_eq!(problems(&database_with(&lines)), [expected]);
    }
    let url = SecretString::from("postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    let error = Configuration::load_with(None, Some(&url), &environment).unwrap_err().to_string();
    assert!(error.contains("sslrootcert in the URL: /nowhere/ca.pem cannot be read"), "{error}");
}

#[test]
fn a_value_of_another_kind_is_found_by_its_key() {
    for (yaml, place) in [
        ("persistence:\n  type: [a]\n", "line 2, column 9 (type): "),
        ("persistence: {database: {port: {a: 1}}}\n", "line 1, column 32 (port): "),
        ("persistence:\n  database: x\n", "line 2, column 13 (database): "),
    ] {
        let problems = problems(yaml);
        assert!(problems.concat().starts_with(place), "{problems:?}");
    }
}

#[test]
fn what_postgresql_keeps_for_itself_is_no_namespace() {
    for name in ["$user", "pg_x", "a-b"] {
        let problems = problems(&database_with(&[&format!("namespace: {name}")]));
        assert!(problems.concat().contains("it is no schema's name"), "{problems:?}");
    }
    assert!(read(&database_with(&["namespace: a$user"])).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    let error = Configuration::load_with(Some(&missing), None, &environment).unwrap_err().to_string();
    assert!(error.contains("missing.yaml cannot be read: there is no such file"), "{error}");
    let latin1 = folder.path().join("latin1.yaml");
    fs::write(&latin1, b"name: caf\xe9").unwrap();
    let error = Configuration::load_with(Some(&latin1), None, &environment).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
    assert!(Configuration::load_with(Some(folder.path()), None, &environment).is_err());
}

#[test]
fn canary_the_password_is_in_no_debug_and_in_no_error() {
    let shown = format!("{:?} {:#?}", read(LCS_EXAMPLE), read(LCS_EXAMPLE));
    assert!(shown.contains("lightspeed_user") && !shown.contains("canary"), "{shown}");

    for line in [
        "password: \"canary@/%:#?",
        "password: @canary",
        "password: %canary",
        "password: `canary",
        "password: *canary",
        "password: &canary",
        "password: !canary x",
        "password: !!int canary",
        "password: !!binary canary",
        "password: [canary",
        "password: [canary]",
        "password: {canary: 1}",
        "password: {canary}",
        "password: | canary",
        "password: canary: x",
        "password: canary\n   canary: x",
        "password: canary\n    password: canary",
        "password: canary\n    canary",
        "password: \"\\canary\"",
        "password: ${env.canary",
        "password: canary\n    password_file: /dev/null",
        "password: canary\n    port: 0",
        "password: canary\n    ? [canary]",
        "password: canary\n---\nx: canary",
    ] {
        let yaml = database_with(&[line]);
        match read(&yaml) {
            Ok(configuration) => assert!(!format!("{configuration:?}").contains("canary"), "{line}"),
            Err(error) => {
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.replace("persistence.database.canary", "").contains("canary"),
                    "{line}: {shown}"
                );
            }
        }
    }

    for url in ["postgres://a:canary@h:0/d", "canary", "postgres://a:canary@h"] {
        let error = Configuration::load_with(None, Some(&SecretString::from(url)), &environment).unwrap_err();
        assert!(error.to_string().starts_with("--database-url: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn every_yaml_block_of_the_manual_is_a_configuration() {
    let manual = include_str!("../../../../docs/CONFIGURATION.md");
    let blocks: Vec<&str> =
        manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        let environment = |name: &str| Some(format!("value-of-{name}").into());
        // The files that the manual names are not on this machine.
        let problems: Vec<String> = match Configuration::from_yaml(block, &environment) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        };
        assert!(
            problems.iter().all(|problem| problem.contains("cannot be read (there is no such file)")),
            "{problems:?}\n{block}"
        );
    }
}

#[test]
fn canary_a_fingerprint_is_of_all_but_the_secrets() {
    let fingerprint = |yaml: &str| read(yaml).unwrap().fingerprint();
    let one = fingerprint(&database_with(&["password: 'one'"]));
    assert_eq!(one, fingerprint(&database_with(&["password: 'another'"])), "a secret changes nothing in it");
    assert_eq!(one, fingerprint(&database_with(&["password: 'one'"])));
    assert_ne!(one, fingerprint(&database_with(&["password: 'one'", "pool_size: 7"])));
}
