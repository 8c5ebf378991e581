//! `persistence.fallback`: what happens while the database is gone, and where the journal is.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use lcs_agent_cache::fallback::{FallbackConfig, FallbackMode};
use lcs_storage::journal::JournalLimits;

use super::document::Fallback;
use super::reader::Reader;
use super::{StoreConfiguration, data_folder};

/// Where the journal is, and how much it may hold. It is opened where the mode is [`FallbackMode::Journal`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalConfiguration {
    /// The folder of the journals of all processes of this machine.
    pub folder: PathBuf,
    /// What one of them holds at most.
    pub limits: JournalLimits,
}

const MODE: &str = "persistence.fallback.mode";
const JOURNAL_PATH: &str = "persistence.fallback.journal_path";

pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Fallback,
    store: &StoreConfiguration,
) -> (FallbackConfig, JournalConfiguration) {
    // What is embedded is as near as a journal would be: where the one cannot be written, nor can the other.
    let may_journal = matches!(store, StoreConfiguration::Postgresql(_));
    let modes = [
        ("journal", FallbackMode::Journal),
        ("memory", FallbackMode::Memory),
        ("refuse", FallbackMode::Refuse),
    ];
    let first = if may_journal { FallbackMode::Journal } else { FallbackMode::Refuse };
    let mut mode = reader.word(MODE, &section.mode, &modes, "journal, memory or refuse", first);
    if mode == FallbackMode::Journal && !may_journal {
        reader.problem(MODE, "a journal is kept for PostgreSQL only: write refuse, or leave the key out");
        mode = FallbackMode::Refuse;
    }
    let default = FallbackConfig::default();
    let failures_to_open = reader.number(
        "persistence.fallback.failures_to_open",
        &section.failures_to_open,
        1..=1_000,
        "failures",
        default.failures_to_open.get(),
    );
    let probe_seconds = reader.number(
        "persistence.fallback.probe_interval_seconds",
        &section.probe_interval_seconds,
        1..=3_600,
        "seconds",
        default.probe_interval.as_secs(),
    );
    let fallback = FallbackConfig {
        mode,
        failures_to_open: NonZeroU32::new(failures_to_open).unwrap_or(default.failures_to_open),
        probe_interval: Duration::from_secs(probe_seconds),
        ..default
    };
    // What is waited for is the disk instead of the database: for as long.
    let patience = match store {
        StoreConfiguration::Postgresql(config) => config.operation_timeout,
        _ => JournalLimits::default().patience,
    };
    (fallback, read_journal(reader, section, mode, patience))
}

fn read_journal(
    reader: &mut Reader<'_>,
    section: &Fallback,
    mode: FallbackMode,
    patience: Duration,
) -> JournalConfiguration {
    let default = JournalLimits::default();
    let written = reader.path(JOURNAL_PATH, &section.journal_path);
    let folder = written.or_else(|| Some(data_folder()?.join("journal"))).unwrap_or_else(|| {
        if mode == FallbackMode::Journal {
            let message = "there is no home folder to put the default into: write the path of a folder";
            reader.problem(JOURNAL_PATH, message);
        }
        PathBuf::new()
    });
    let mut number = |name: &str, value, range, unit, default| {
        reader.number(&format!("persistence.fallback.{name}"), value, range, unit, default)
    };
    let limits = JournalLimits {
        max_entries: number(
            "journal_max_entries",
            &section.journal_max_entries,
            1..=10_000_000,
            "entries",
            default.max_entries,
        ),
        max_bytes: number(
            "journal_max_bytes",
            &section.journal_max_bytes,
            1_048_576..=1_099_511_627_776,
            "bytes",
            default.max_bytes,
        ),
        max_age: Duration::from_secs(number(
            "journal_max_age_seconds",
            &section.journal_max_age_seconds,
            1..=366 * 24 * 3_600,
            "seconds",
            default.max_age.as_secs(),
        )),
        patience,
        ..default
    };
    JournalConfiguration { folder, limits }
}
