//! The `persistence:` section as it is written: every value as its text, and every key known.
//!
//! Values are read as texts, not as what YAML takes them for, so that an unquoted password `0123` or
//! `1e5` stays what was written, and so that `${env.NAME}` may stand for a number as well.

use serde::Deserialize;
use serde_ignored::Path;
use serde_saphyr::options;

use super::problem::Problem;

/// A value as it is written; `None` where the key is missing or has no value.
pub(super) type Value = Option<String>;

/// A section as a struct of its keys, and the list of their names.
macro_rules! section {
    ($name:ident { $($field:ident: $type:ty = $key:literal),* $(,)? }) => {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name {
            $(#[serde(rename = $key)] pub(super) $field: $type,)*
        }

        impl $name {
            const KEYS: &[&str] = &[$($key),*];
        }
    };
}

section!(Persistence {
    kind: Value = "type",
    database: Option<Database> = "database",
    sqlite: Option<Sqlite> = "sqlite",
    agent_cache_max_size: Value = "agent_cache_max_size",
    agent_cache_max_bytes: Value = "agent_cache_max_bytes",
    agent_cache_ttl_seconds: Value = "agent_cache_ttl_seconds",
    enable_rehydration: Value = "enable_rehydration",
    conversation_retention_days: Value = "conversation_retention_days",
    archived_conversation_retention_days: Value = "archived_conversation_retention_days",
    deleted_conversation_retention_days: Value = "deleted_conversation_retention_days",
    retention_conversations_per_second: Value = "retention_conversations_per_second",
    enable_archival: Value = "enable_archival",
    archive_url: Value = "archive_url",
    fallback: Option<Fallback> = "fallback",
    require_database_at_start: Value = "require_database_at_start",
    max_document_bytes: Value = "max_document_bytes",
    coalesce_appends: Value = "coalesce_appends",
    recent_turns: Value = "recent_turns",
    service: Option<Service> = "service",
    authentication: Option<Authentication> = "authentication",
    operator: Option<Operator> = "operator",
    model: Option<Model> = "model",
    llama_stack: Option<LlamaStack> = "llama_stack",
});

section!(Database {
    host: Value = "host",
    port: Value = "port",
    name: Value = "name",
    username: Value = "username",
    password: Value = "password",
    password_file: Value = "password_file",
    ssl_mode: Value = "ssl_mode",
    ca_cert_path: Value = "ca_cert_path",
    namespace: Value = "namespace",
    row_level_security: Value = "row_level_security",
    target_session_attrs: Value = "target_session_attrs",
    pooler: Value = "pooler",
    operation_timeout: Value = "operation_timeout",
    connect_timeout: Value = "connect_timeout",
    statement_timeout: Value = "statement_timeout",
    lock_timeout: Value = "lock_timeout",
    idle_in_transaction_timeout: Value = "idle_in_transaction_timeout",
    pool_size: Value = "pool_size",
    max_overflow: Value = "max_overflow",
    pool_timeout: Value = "pool_timeout",
    pool_recycle: Value = "pool_recycle",
});

section!(Sqlite { path: Value = "path" });

section!(Fallback {
    mode: Value = "mode",
    failures_to_open: Value = "failures_to_open",
    probe_interval_seconds: Value = "probe_interval_seconds",
    journal_path: Value = "journal_path",
    journal_max_entries: Value = "journal_max_entries",
    journal_max_bytes: Value = "journal_max_bytes",
    journal_max_age_seconds: Value = "journal_max_age_seconds",
});

section!(Service {
    host: Value = "host",
    port: Value = "port",
    max_body_bytes: Value = "max_body_bytes",
    max_header_bytes: Value = "max_header_bytes",
    max_concurrent_requests: Value = "max_concurrent_requests",
    request_timeout_seconds: Value = "request_timeout_seconds",
    header_read_timeout_seconds: Value = "header_read_timeout_seconds",
    shutdown_timeout_seconds: Value = "shutdown_timeout_seconds",
    request_lease_seconds: Value = "request_lease_seconds",
    retention_interval_seconds: Value = "retention_interval_seconds",
    monitoring_interval_seconds: Value = "monitoring_interval_seconds",
});

section!(Authentication {
    module: Value = "module",
    allow_noop_beyond_loopback: Value = "allow_noop_beyond_loopback",
    api_key: Value = "api_key",
    api_key_file: Value = "api_key_file",
    jwk_url: Value = "jwk_url",
    jwk_file: Value = "jwk_file",
    issuer: Value = "issuer",
    audience: Value = "audience",
    user_id_claim: Value = "user_id_claim",
    username_claim: Value = "username_claim",
    user_header: Value = "user_header",
    username_header: Value = "username_header",
    trusted_proxies: Value = "trusted_proxies",
});

section!(Operator { api_key: Value = "api_key", api_key_file: Value = "api_key_file" });

section!(Model {
    kind: Value = "type",
    base_url: Value = "base_url",
    api_key: Value = "api_key",
    api_key_file: Value = "api_key_file",
    name: Value = "model",
    provider: Value = "provider",
    ca_cert_path: Value = "ca_cert_path",
    connect_timeout: Value = "connect_timeout",
    idle_timeout: Value = "idle_timeout",
    request_timeout: Value = "request_timeout",
    history_turns: Value = "history_turns",
    history_max_bytes: Value = "history_max_bytes",
});

section!(LlamaStack {
    url: Value = "url",
    api_key: Value = "api_key",
    api_key_file: Value = "api_key_file",
    ca_cert_path: Value = "ca_cert_path",
    history_fallback: Value = "history_fallback",
    timeout: Value = "timeout",
});

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    persistence: Option<Persistence>,
}

/// The sections that have known keys, the innermost first.
const SECTIONS: [(&[&str], &[&str]); 9] = [
    (&["persistence", "database"], Database::KEYS),
    (&["persistence", "sqlite"], Sqlite::KEYS),
    (&["persistence", "fallback"], Fallback::KEYS),
    (&["persistence", "service"], Service::KEYS),
    (&["persistence", "authentication"], Authentication::KEYS),
    (&["persistence", "operator"], Operator::KEYS),
    (&["persistence", "model"], Model::KEYS),
    (&["persistence", "llama_stack"], LlamaStack::KEYS),
    (&["persistence"], Persistence::KEYS),
];

/// What LCS calls these keys elsewhere: too far from our names to be found by their spelling.
const SYNONYMS: [(&str, &str); 8] = [
    ("db", "name"),
    ("user", "username"),
    ("db_path", "path"),
    ("max_entries", "agent_cache_max_size"),
    ("api_key_config", "api_key"),
    ("jwk_config", "jwk_url"),
    ("jwt_configuration", "user_id_claim"),
    ("trusted_proxy_config", "user_header"),
];

/// The file's `persistence:` section, if it has one, and what is wrong with its keys. Other sections are LCS's.
pub(super) fn parse(yaml: &str) -> Result<(Option<Persistence>, Vec<Problem>), Problem> {
    let mut unknown = Vec::new();
    let options = options! { with_snippet: false };
    let file: Option<File> = serde_saphyr::with_deserializer_from_str_with_options(yaml, options, |reader| {
        serde_ignored::deserialize(reader, |path| unknown.push(keys(&path)))
    })
    .map_err(|error| malformed(&error, yaml))?;
    let persistence = file.unwrap_or_default().persistence;
    let problems = unknown.iter().filter_map(|keys| unknown_key(keys, persistence.is_some())).collect();
    Ok((persistence, problems))
}

/// The keys that lead to `path`, the outermost first.
fn keys(path: &Path<'_>) -> Vec<String> {
    match path {
        Path::Root => Vec::new(),
        Path::Map { parent, key } => {
            let mut keys = keys(parent);
            keys.push(key.clone());
            keys
        }
        Path::Seq { parent, .. }
        | Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => keys(parent),
    }
}

fn unknown_key(keys: &[String], has_persistence: bool) -> Option<Problem> {
    if let [section] = keys {
        // LCS's sections are not ours to judge; one that is nearly ours would silently not be read.
        let misspelt = !has_persistence && strsim::damerau_levenshtein(section, "persistence") <= 2;
        return misspelt.then(|| Problem::new(shown(section), "unknown section: did you mean persistence?"));
    }
    let (section, known) = SECTIONS.iter().find(|(section, _)| keys.starts_with(&owned(section)))?;
    let key = keys.get(section.len())?;
    let message = match nearest(key, known) {
        Some(nearest) => format!("unknown key: did you mean {nearest}?"),
        None => format!("unknown key: the keys here are {}", known.join(", ")),
    };
    Some(Problem::new(format!("{}.{}", section.join("."), shown(key)), message))
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let synonym = SYNONYMS.iter().find(|(theirs, _)| *theirs == key).map(|(_, ours)| *ours);
    if let Some(ours) = synonym.and_then(|ours| known.iter().find(|known| **known == ours)) {
        return Some(ours);
    }
    let distance = |known: &&str| strsim::damerau_levenshtein(&key.to_lowercase().replace('-', "_"), known);
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(&nearest) <= nearest.len() / 3).then_some(nearest)
}

/// A key as a message shows it: a broken file can make anything into a key, however long.
fn shown(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// What is wrong with a text that is not YAML, or not in this shape. The parser's own words are not
/// shown: they quote the file, and so may quote a password.
fn malformed(error: &serde_saphyr::Error, yaml: &str) -> Problem {
    use serde_saphyr::Error;

    let message = match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => "the same key is written twice: keep one of them",
        Error::MultipleDocuments { .. } => "there is more than one YAML document: keep one of them",
        Error::Unexpected { .. } | Error::SerdeInvalidType { .. } => {
            "a value of another kind is needed here: one value for a key, indented keys for a section"
        }
        _ => {
            "this is not valid YAML: check the indentation, and put quotes around a value with special characters"
        }
    };
    let place = error.location().filter(|location| location.line() > 0).map_or_else(
        || "the file".to_owned(),
        |location| {
            let (line, column) = (location.line(), location.column());
            let key = key_before(yaml, line, column).map(|key| format!(" ({key})")).unwrap_or_default();
            format!("line {line}, column {column}{key}")
        },
    );
    Problem::new(place, message)
}

/// The key whose value begins there, both counted from 1. Only one of ours: any other text may be a secret.
fn key_before<N: TryInto<usize>>(yaml: &str, line: N, column: N) -> Option<&'static str> {
    let line = yaml.lines().nth(line.try_into().ok()?.checked_sub(1)?)?;
    let before: String = line.chars().take(column.try_into().ok()?.checked_sub(1)?).collect();
    let before = before.trim_end().strip_suffix(':')?;
    let key = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
    SECTIONS.iter().flat_map(|(_, known)| known.iter()).copied().find(|known| *known == key)
}
