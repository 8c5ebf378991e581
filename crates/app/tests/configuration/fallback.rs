//! What happens while the database is gone, as an operator writes it.

use std::path::PathBuf;
use std::time::Duration;

use lcs_agent_cache::FallbackMode;
use lcs_storage::journal::JournalLimits;

use crate::{database_with, problems, read};

#[test]
fn a_journal_is_kept_for_postgresql_where_nothing_else_is_said() {
    let configuration = read(&database_with(&[])).unwrap();
    assert_eq!(configuration.fallback.mode, FallbackMode::Journal);
    assert!(configuration.journal.folder.ends_with("lcs-persistence/journal"));
    assert_eq!(configuration.journal.limits, JournalLimits::default());
    assert!(!configuration.require_database_at_start);
    for kind in ["sqlite", "memory"] {
        let fallback = |mode: &str| format!("persistence:\n  type: {kind}\n  fallback: {{{mode}}}\n");
        assert_eq!(read(&fallback("")).unwrap().fallback.mode, FallbackMode::Refuse);
        assert_eq!(
            problems(&fallback("mode: journal")),
            [
                "persistence.fallback.mode: a journal is kept for PostgreSQL only: write refuse, or leave the key out"
            ]
        );
    }
    let yaml = format!(
        "{}  require_database_at_start: true\n  fallback: {{journal_path: /var/lib/lcs, journal_max_entries: 7, \
         journal_max_bytes: 1048576, journal_max_age_seconds: 60}}\n",
        database_with(&[])
    );
    let configuration = read(&yaml).unwrap();
    assert!(configuration.require_database_at_start);
    assert_eq!(configuration.journal.folder, PathBuf::from("/var/lib/lcs"));
    let limits = JournalLimits {
        max_entries: 7,
        max_bytes: 1_048_576,
        max_age: Duration::from_mins(1),
        ..JournalLimits::default()
    };
    assert_eq!(configuration.journal.limits, limits);
}
