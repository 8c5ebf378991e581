//! Logging: to standard error, as much as is asked for.

use std::io::{self, IsTerminal};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// What is logged where nothing is asked for: what a command fails at, it says itself, in one sentence.
const DEFAULT: &str = "error";

/// Starts logging: by `--log-level`, else by `RUST_LOG`, else errors.
pub(super) fn start(log_level: Option<&str>) -> anyhow::Result<()> {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    let (origin, filter) = match (log_level, variable.as_deref()) {
        (Some(level), _) => ("--log-level", level),
        (None, Some(filter)) => (EnvFilter::DEFAULT_ENV, filter),
        (None, None) => ("the default", DEFAULT),
    };
    let filter = EnvFilter::builder().parse(filter).with_context(|| {
        format!("{origin} is no log filter: write debug, or by module as in lcs_storage=debug,info")
    })?;
    let stderr = io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(io::stderr).init();
    Ok(())
}
