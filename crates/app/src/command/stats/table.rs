//! The figures as tables on a terminal.

use std::io::Result;

use lcs_app::report::Report;
use lcs_domain::analytics::Distribution;
use lcs_domain::database::bytes;

use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;
use crate::output::text::count;

/// How many tables and indexes are shown.
const SHOWN: usize = 8;

pub(super) fn show(output: &mut Output, report: &Report) -> Result<()> {
    summary(output, report)?;
    days(output, report)?;
    models(output, report)?;
    largest(output, report)?;
    storage(output, report)?;
    findings(output, report)
}

fn heading(output: &mut Output, text: &str) -> Result<()> {
    output.line("")?;
    let text = output.styled(Style::Bold, text);
    output.line(&text)
}

fn summary(output: &mut Output, report: &Report) -> Result<()> {
    let analytics = &report.analytics;
    let (conversations, turns, users) = (&analytics.conversations, &analytics.turns, &analytics.users);
    let distribution = |found: Option<Distribution>, unit: &str| {
        found.map_or_else(
            || "nothing in the window".to_owned(),
            |Distribution { mean, p50, p95, max }| {
                format!("mean {mean:.1}{unit}, half within {p50}{unit}, 95 of 100 within {p95}{unit}, most {max}{unit}")
            },
        )
    };
    let about = |is_sample: bool| if is_sample { "about " } else { "" };
    let of_conversations = about(conversations.looked_at.is_sample());
    let of_turns = about(turns.looked_at.is_sample());
    let at_least = if users.at_least { "at least " } else { "" };
    let lines = [
        (
            "Window",
            format!(
                "{} to {}",
                analytics.since.format("%Y-%m-%d"),
                analytics.at.format("%Y-%m-%d %H:%M UTC")
            ),
        ),
        (
            "Conversations",
            format!(
                "{of_conversations}{} active, {} archived, {} deleted; {} begun in the window",
                conversations.active, conversations.archived, conversations.deleted, conversations.begun
            ),
        ),
        ("Turns", format!("{of_turns}{}; {} in the window", turns.total, turns.in_window)),
        ("Users", format!("{at_least}{}; {} active in the window", users.total, users.active)),
        ("Turns of each", distribution(conversations.messages, "")),
        ("Time of a turn", distribution(turns.latency_ms, " ms")),
        ("Tokens", format!("{of_turns}{} in, {} out", turns.input_tokens, turns.output_tokens)),
        (
            "Marked turns",
            format!(
                "{} interrupted, {} interleaved, {} late",
                turns.interrupted, turns.interleaved, turns.late
            ),
        ),
        (
            "Retention",
            format!(
                "{of_conversations}{} due now, {} within the next {} days",
                analytics.retention.due_now,
                analytics.retention.days.iter().map(|day| day.conversations).sum::<u64>(),
                analytics.retention.days.len()
            ),
        ),
    ];
    for (name, text) in lines {
        let name = output.styled(Style::Dim, &format!("{name:<14}"));
        output.line(&format!("{name}  {text}"))?;
    }
    for (what, looked_at) in [("conversations", conversations.looked_at), ("turns", turns.looked_at)] {
        if looked_at.is_sample() {
            let percent = looked_at.share * 100.0;
            output.line(&format!(
                "Of the {what}, {percent:.1} % were looked at: their figures are scaled up."
            ))?;
        }
    }
    Ok(())
}

fn days(output: &mut Output, report: &Report) -> Result<()> {
    let busy = report.analytics.days.iter().rev().filter(|day| day.conversations + day.turns > 0);
    let mut table = Table::new(["DAY", "BEGUN", "TURNS"]);
    let mut rows = 0;
    for day in busy.take(14) {
        table.row([day.date.to_string(), day.conversations.to_string(), day.turns.to_string()]);
        rows += 1;
    }
    if rows == 0 {
        return Ok(());
    }
    heading(output, "The last days with something in them")?;
    output.table(&table)
}

fn models(output: &mut Output, report: &Report) -> Result<()> {
    if report.analytics.models.is_empty() {
        return Ok(());
    }
    heading(output, "Models")?;
    let mut table = Table::new(["TURNS", "TOKENS IN", "TOKENS OUT", "PROVIDER", "MODEL"]);
    for model in &report.analytics.models {
        table.row([
            model.turns.to_string(),
            model.input_tokens.to_string(),
            model.output_tokens.to_string(),
            model.provider.clone().unwrap_or_else(|| "-".into()),
            model.model.clone().unwrap_or_else(|| "not noted".into()),
        ]);
    }
    output.table(&table)
}

fn largest(output: &mut Output, report: &Report) -> Result<()> {
    if report.analytics.largest.is_empty() {
        return Ok(());
    }
    heading(output, "Largest conversations")?;
    let mut table = Table::new(["CONVERSATION", "TURNS", "USER"]);
    for large in report.analytics.largest.iter().take(5) {
        table.row([large.conversation_id.to_string(), large.turns.to_string(), large.user_id.to_string()]);
    }
    output.table(&table)
}

fn storage(output: &mut Output, report: &Report) -> Result<()> {
    if report.database.tables.is_empty() {
        return Ok(());
    }
    heading(output, "Storage")?;
    let mut table = Table::new(["SIZE", "ROWS", "LONG VALUES", "INDEXES", "TABLE"]);
    for of in report.database.tables.iter().take(SHOWN) {
        table.row([
            bytes(of.total_bytes),
            bytes(of.row_bytes),
            bytes(of.long_value_bytes),
            bytes(of.index_bytes),
            of.name.clone(),
        ]);
    }
    output.table(&table)?;
    let left = report.database.tables.len().saturating_sub(SHOWN) as u64;
    if left > 0 {
        output.line(&format!("and {}", count(left, "smaller table")))?;
    }
    heading(output, "Indexes")?;
    let mut table = Table::new(["SIZE", "USED", "COULD BE SAVED", "INDEX"]);
    for index in report.database.indexes.iter().take(SHOWN) {
        table.row([
            bytes(index.bytes),
            index.scans.map_or_else(|| "-".into(), |scans| scans.to_string()),
            index.bloat_bytes.map_or_else(|| "-".into(), bytes),
            index.name.clone(),
        ]);
    }
    output.table(&table)?;
    let left = report.database.indexes.len().saturating_sub(SHOWN) as u64;
    if left > 0 {
        output.line(&format!("and {}", count(left, "smaller index")).replace("indexs", "indexes"))?;
    }
    Ok(())
}

fn findings(output: &mut Output, report: &Report) -> Result<()> {
    if report.findings.is_empty() {
        return Ok(());
    }
    heading(output, "Database")?;
    report.findings.iter().try_for_each(|finding| super::super::doctor::print(output, finding))
}
