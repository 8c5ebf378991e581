//! Logging: to standard error, as much as is asked for.

use std::io::{self, IsTerminal};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
#[cfg(feature = "opentelemetry")]
use {anyhow::anyhow, lcs_app::telemetry::trace::Traces};

use super::no_answer;

/// What is logged where nothing is asked for. What a command fails at, it says itself in one sentence:
/// the warnings on the way there would only say it before, once for each attempt.
const DEFAULT: &str = "error";
/// What a service logs: nobody waits for what it says itself.
const SERVICE_DEFAULT: &str = "info";
/// What the names of our own modules begin with.
const OURS: &str = "lcs_";
const WRITE: &str = "write off, error, warn, info, debug or trace, or by module as in lcs_storage=debug,info";

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Starts logging: by `--log-level`, else by `RUST_LOG`, else as it belongs to a service or to another command. A person
/// at a terminal is told where a command waits for the database.
pub(super) fn start(log_level: Option<&str>, is_service: bool, format: LogFormat) -> Result<Log> {
    let filter = match log_level {
        Some(level) => by_option(level)?,
        None => by_variable(if is_service { SERVICE_DEFAULT } else { DEFAULT })?,
    };
    // A repository call is a span, and its end is what there is to see of it: too much for `info`.
    let calls = filter.max_level_hint().is_none_or(|level| level >= LevelFilter::DEBUG);
    let stderr = io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_span_events(if calls { FmtSpan::CLOSE } else { FmtSpan::NONE })
        .with_ansi(colour && format == LogFormat::Text)
        .with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let discreet = filter_fn(is_discreet).with_max_level_hint(LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter.and(discreet)));
    let waits = !is_service && stderr.is_terminal();
    let subscriber = subscriber.with(waits.then(|| no_answer::listener().with_filter(no_answer::heard())));
    #[cfg(feature = "opentelemetry")]
    {
        let traces = Traces::from_environment().map_err(|problem| anyhow!(problem))?;
        subscriber.with(traces.as_ref().map(Traces::layer)).init();
        Ok(Log { traces })
    }
    #[cfg(not(feature = "opentelemetry"))]
    {
        subscriber.init();
        Ok(Log {})
    }
}

/// Of libraries, warnings at most, whatever is asked for: below that they write out the addresses that they call, in
/// which there may be a password or a signature.
fn is_discreet(said: &Metadata<'_>) -> bool {
    said.target().starts_with(OURS) || *said.level() <= LevelFilter::WARN
}

/// The log, and the traces where there are any.
pub(super) struct Log {
    #[cfg(feature = "opentelemetry")]
    traces: Option<Traces>,
}

impl Log {
    /// Sends what is still to be sent.
    pub(super) fn finish(self) {
        #[cfg(feature = "opentelemetry")]
        if let Some(traces) = self.traces {
            traces.finish();
        }
    }
}

/// A word alone has to be a level: the filter would take any other for a module's name, and log nothing.
fn by_option(level: &str) -> Result<EnvFilter> {
    let understood = |part: &str| {
        let part = part.trim();
        !part.is_empty()
            && !part.contains(char::is_whitespace)
            && (part.contains('=') || part.parse::<LevelFilter>().is_ok())
    };
    if !level.split(',').all(understood) {
        bail!("--log-level is no log filter: {WRITE}");
    }
    parse("--log-level", level)
}

fn by_variable(default: &str) -> Result<EnvFilter> {
    let name = EnvFilter::DEFAULT_ENV;
    match std::env::var(name) {
        Ok(filter) if !filter.is_empty() => parse(name, &filter),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("the environment variable {name} is not UTF-8 text: {WRITE}")
        }
        _ => parse("the default", default),
    }
}

fn parse(origin: &str, filter: &str) -> Result<EnvFilter> {
    EnvFilter::builder().parse(filter).with_context(|| format!("{origin} is no log filter: {WRITE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        for level in ["debug", "OFF", "lcs_storage=debug,info", "lcs_storage=debug,lcs_agent_cache=info"] {
            assert!(by_option(level).is_ok(), "{level}");
        }
        for level in ["nonsense", "", " ", "a b", "a b=debug", "debug,", "lcs_storage=much", "a=b=c"] {
            assert!(by_option(level).is_err(), "{level}");
        }
    }
}
