//! The page's parts that show how the database is doing.

use lcs_domain::DatabaseStatus;
use lcs_domain::database::bytes;
use lcs_domain::diagnostic::Severity;
use maud::{Markup, html};

use super::Report;
use super::plot::parts;
use super::text::{count, milliseconds, time};

/// A backend's name, for people.
pub(super) fn name(backend: &str) -> &str {
    match backend {
        "postgresql" => "PostgreSQL",
        "sqlite" => "SQLite",
        other => other,
    }
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(|| "–".to_owned(), count)
}

/// What tables and indexes take.
pub(super) fn storage(database: &DatabaseStatus) -> Markup {
    html! {
        @if database.tables.is_empty() {
            div .card { p .quiet { "This store does not say what its tables take." } }
        } @else {
            div .card {
                h3 { "Tables" }
                ul .key { li { "rows" } li .two { "long values" } li .three { "indexes" } }
                div .scroll { (tables(database)) }
            }
            @if !database.indexes.is_empty() {
                div .card {
                    h3 { "Indexes" }
                    div .scroll { (indexes(database)) }
                    p .quiet {
                        "What could be saved by building an index anew is estimated, from the number and the mean \
                         length of its entries."
                    }
                }
            }
        }
    }
}

fn tables(database: &DatabaseStatus) -> Markup {
    let most = database.tables.iter().map(|table| table.total_bytes).max().unwrap_or_default();
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Table" }
                    th scope="col" { "Parts" }
                    @for heading in ["Size", "Rows, about", "Removed rows left", "Last vacuum"] {
                        th scope="col" .number { (heading) }
                    }
                }
            }
            tbody {
                @for table in &database.tables {
                    tr {
                        th scope="row" { (table.name) }
                        td .bar {
                            (parts(
                                most,
                                &[("rows", table.row_bytes), ("long", table.long_value_bytes), ("index", table.index_bytes)],
                                &format!(
                                    "{}: rows {}, long values {}, indexes {}",
                                    table.name, bytes(table.row_bytes), bytes(table.long_value_bytes), bytes(table.index_bytes)
                                ),
                            ))
                        }
                        td .number { (bytes(table.total_bytes)) }
                        td .number { (optional(table.rows)) }
                        td .number { (optional(table.dead_rows)) }
                        td .number { (table.last_vacuum.map_or_else(|| "–".to_owned(), time)) }
                    }
                }
            }
        }
    }
}

fn indexes(database: &DatabaseStatus) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Index" }
                    th scope="col" { "Of" }
                    @for heading in ["Size", "Used", "Could be saved"] { th scope="col" .number { (heading) } }
                }
            }
            tbody {
                @for index in &database.indexes {
                    tr {
                        th scope="row" {
                            (index.name)
                            @if index.is_unique { " " span .quiet { "unique" } }
                        }
                        td { (index.table) }
                        td .number { (bytes(index.bytes)) }
                        td .number { (optional(index.scans)) }
                        td .number { (index.bloat_bytes.map_or_else(|| "–".to_owned(), bytes)) }
                    }
                }
            }
        }
    }
}

/// What is to be said of the database, and the statements that cost the most.
pub(super) fn health(report: &Report) -> Markup {
    html! {
        div .card {
            @if report.findings.is_empty() {
                p .quiet { "This store has nothing to say of itself." }
            } @else {
                ul .findings {
                    @for finding in &report.findings {
                        @let (class, word) = match finding.severity {
                            Severity::Ok => ("ok", "ok"),
                            Severity::Warning => ("warning", "look at it"),
                            Severity::Error => ("error", "act now"),
                        };
                        li {
                            span class=(format!("severity {class}")) { (word) }
                            div {
                                (finding.detail)
                                @if let Some(remedy) = &finding.remedy { p .quiet { (remedy) } }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(statements) = report.database.statements.as_ref().filter(|statements| !statements.is_empty()) {
            div .card {
                h3 { "Statements that took the most time" }
                div .scroll {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Statement, without values" }
                                @for heading in ["Calls", "Mean", "Most", "Together"] { th scope="col" .number { (heading) } }
                            }
                        }
                        tbody {
                            @for statement in statements {
                                tr {
                                    th scope="row" { code { (statement.text) } }
                                    td .number { (count(statement.calls)) }
                                    td .number { (milliseconds(statement.mean_ms)) }
                                    td .number { (milliseconds(statement.max_ms)) }
                                    td .number { (milliseconds(statement.total_ms)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
