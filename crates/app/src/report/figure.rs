//! The page's parts that show what is stored.

use lcs_domain::Analytics;
use lcs_domain::analytics::{Distribution, LookedAt};
use maud::{Markup, html};

use super::Report;
use super::page::{CONVERSATIONS, conversations_of};
use super::plot::{Days, parts};
use super::text::{about, count, milliseconds, share, short, time};

fn tile(name: &str, value: impl maud::Render, more: &Markup) -> Markup {
    html! {
        div {
            dt { (name) }
            dd .value { (value) }
            dd .more { (more) }
        }
    }
}

/// `about 1.2M` where it is an estimate.
fn roughly(number: String, is_estimate: bool) -> String {
    if is_estimate { format!("about {number}") } else { number }
}

/// The figures that are looked at first.
pub(super) fn tiles(report: &Report) -> Markup {
    let analytics = &report.analytics;
    let (conversations, turns, users) = (&analytics.conversations, &analytics.turns, &analytics.users);
    let at_least = if users.at_least { "at least " } else { "" };
    let stored = conversations.active + conversations.archived;
    let (of_conversations, of_turns) = (conversations.looked_at.is_sample(), turns.looked_at.is_sample());
    html! {
        dl .tiles {
            (tile("Conversations", roughly(short(stored), of_conversations), &html! { (about(conversations.begun, conversations.looked_at.is_sample())) " begun in the window" }))
            (tile("Turns", roughly(short(turns.total), of_turns), &html! { (about(turns.in_window, turns.looked_at.is_sample())) " in the window" }))
            (tile("Active users", format!("{at_least}{}", short(users.active)), &html! { "of " (at_least) (count(users.total)) }))
            @if let Some(latency) = turns.latency_ms {
                (tile("Time of a turn", roughly(milliseconds(super::text::float(latency.p50)), of_turns), &html! { "half; 95 of 100 within " (milliseconds(super::text::float(latency.p95))) }))
            } @else {
                (tile("Time of a turn", "none", &html! { "no turn in the window" }))
            }
            (tile("Tokens", roughly(short(turns.input_tokens + turns.output_tokens), of_turns), &html! { (short(turns.input_tokens)) " in, " (short(turns.output_tokens)) " out" }))
            (tile("Due to be purged", roughly(short(analytics.retention.due_now), of_conversations), &html! { "idle longer than " (days(analytics)) ", or deleted" }))
            @if let Some(bytes) = report.database.bytes {
                (tile("Database", lcs_domain::database::bytes(bytes), &html! { "with all its indexes" }))
            }
            @if let Some(cache) = report.cache {
                (tile(
                    "Agents in memory",
                    count(cache.agents),
                    &html! { @match cache.hit_ratio {
                        Some(ratio) => { (share(ratio)) " of those asked for were there" }
                        None => "none was asked for yet"
                    } },
                ))
            }
        }
    }
}

fn days(analytics: &Analytics) -> String {
    let days = analytics.retention.idle_seconds / 86_400.0;
    if (days - 1.0).abs() < f64::EPSILON { "1 day".to_owned() } else { format!("{days:.0} days") }
}

/// Conversations and turns for each day.
pub(super) fn growth(analytics: &Analytics) -> Markup {
    let of = |what: fn(&lcs_domain::analytics::DayFigures) -> u64| {
        analytics.days.iter().map(|day| (day.date, what(day))).collect()
    };
    let conversations = Days {
        name: "Conversations begun",
        one: "conversation",
        class: "conversations",
        values: of(|day| day.conversations),
    };
    let turns = Days { name: "Turns", one: "turn", class: "turns", values: of(|day| day.turns) };
    html! {
        div .grid2 {
            div .card { (conversations.figure()) }
            div .card { (turns.figure()) }
        }
    }
}

/// Status, distributions, models.
pub(super) fn usage(analytics: &Analytics) -> Markup {
    let (conversations, turns) = (&analytics.conversations, &analytics.turns);
    html! {
        div .grid2 {
            div .card { h3 { "Conversations by status" } (statuses(analytics)) }
            div .card { h3 { "How much, and how long" } (distributions(analytics)) }
        }
        div .card { h3 { "Models" } (models(analytics)) }
        div .card {
            h3 { "What did not go smoothly" }
            table {
                tbody {
                    (mark("Answers that were stopped or broke off", turns.interrupted, turns.looked_at))
                    (mark("Answers made from a state that had moved on", turns.interleaved, turns.looked_at))
                    (mark("Turns that came late, out of a journal", turns.late, turns.looked_at))
                    (mark("Deleted by their users, not purged yet", conversations.deleted, conversations.looked_at))
                }
            }
        }
    }
}

fn mark(what: &str, number: u64, looked_at: LookedAt) -> Markup {
    html! { tr { th scope="row" { (what) } td .number { (about(number, looked_at.is_sample())) } } }
}

fn statuses(analytics: &Analytics) -> Markup {
    let found = &analytics.conversations;
    let whole = found.active + found.archived + found.deleted;
    let is_sample = found.looked_at.is_sample();
    html! {
        (parts(
            whole,
            &[("active", found.active), ("archived", found.archived), ("deleted", found.deleted)],
            "Conversations by status; the figures are in the list below",
        ))
        ul .key {
            li { "active " (about(found.active, is_sample)) }
            li .two { "archived " (about(found.archived, is_sample)) }
            li .three { "deleted " (about(found.deleted, is_sample)) }
        }
    }
}

fn distributions(analytics: &Analytics) -> Markup {
    let messages =
        |number: f64| if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") };
    html! {
        div .scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "In the window" }
                        @for heading in ["Mean", "Half within", "95 of 100 within", "Most"] {
                            th scope="col" .number { (heading) }
                        }
                    }
                }
                tbody {
                    (distribution("Turns of a conversation", analytics.conversations.messages, messages))
                    (distribution("Time of a turn", analytics.turns.latency_ms, milliseconds))
                }
            }
        }
    }
}

fn distribution(what: &str, found: Option<Distribution>, written: fn(f64) -> String) -> Markup {
    html! {
        tr {
            th scope="row" { (what) }
            @if let Some(Distribution { mean, p50, p95, max }) = found {
                td .number { (written(mean)) }
                @for number in [p50, p95, max] { td .number { (written(super::text::float(number))) } }
            } @else {
                td .number colspan="4" { "nothing" }
            }
        }
    }
}

fn models(analytics: &Analytics) -> Markup {
    let is_sample = analytics.turns.looked_at.is_sample();
    let most = analytics.models.iter().map(|model| model.turns).max().unwrap_or_default();
    html! {
        @if analytics.models.is_empty() {
            p .quiet { "No turn in the window." }
        } @else {
            div .scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Model" }
                            th scope="col" { span .quiet { "Share" } }
                            th scope="col" .number { "Turns" }
                            th scope="col" .number { "Tokens in" }
                            th scope="col" .number { "Tokens out" }
                        }
                    }
                    tbody {
                        @for model in &analytics.models {
                            @let name = model.model.as_deref().unwrap_or("not noted in the turn");
                            tr {
                                th scope="row" {
                                    (name)
                                    @if let Some(provider) = &model.provider { " " span .quiet { (provider) } }
                                }
                                td .bar { (parts(most, &[("turns", model.turns)], &format!("Turns of {name}"))) }
                                td .number { (about(model.turns, is_sample)) }
                                td .number { (count(model.input_tokens)) }
                                td .number { (count(model.output_tokens)) }
                            }
                        }
                    }
                }
            }
            @if analytics.models.iter().any(|model| model.model.is_none()) {
                p .quiet {
                    "Turns say which model answered where whoever stored them did. Of others the conversation's own model is on the conversation's page."
                }
            }
        }
    }
}

/// What will be purged.
pub(super) fn retention(analytics: &Analytics) -> Markup {
    let is_sample = analytics.conversations.looked_at.is_sample();
    let soon = analytics.retention.days.iter().map(|day| day.conversations).sum();
    let plot = Days {
        name: "Conversations that become due",
        one: "conversation",
        class: "due",
        values: analytics.retention.days.iter().map(|day| (day.date, day.conversations)).collect(),
    };
    html! {
        div .grid2 {
            div .card { (plot.figure()) }
            div .card {
                h3 { "What is purged" }
                p {
                    (about(analytics.retention.due_now, is_sample)) " are due now; " (about(soon, is_sample))
                    " more become due within " (analytics.retention.days.len()) " days, unless they wake up before."
                }
                p .quiet {
                    "A conversation may go when it has been idle longer than " (days(analytics))
                    ", or when its user has deleted it."
                }
            }
        }
    }
}

/// An id, and where the console shows what it is of.
fn named(id: impl std::fmt::Display, path: &str, is_served: bool) -> Markup {
    html! { @if is_served { a href=(path) { code .id { (id) } } } @else { code .id { (id) } } }
}

/// The conversations with the most turns.
pub(super) fn largest(analytics: &Analytics, is_served: bool) -> Markup {
    html! {
        div .card {
            @if analytics.largest.is_empty() {
                p .quiet { "There are no conversations." }
            } @else {
                div .scroll {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Conversation" }
                                th scope="col" { "User" }
                                th scope="col" .number { "Turns" }
                                th scope="col" .number { "Last changed" }
                            }
                        }
                        tbody {
                            @for large in &analytics.largest {
                                tr {
                                    th scope="row" {
                                        (named(large.conversation_id, &format!("{CONVERSATIONS}/{}", large.conversation_id), is_served))
                                    }
                                    td { (named(large.user_id, &conversations_of(large.user_id), is_served)) }
                                    td .number { (count(large.turns.into())) }
                                    td .number { (time(large.updated_at)) }
                                }
                            }
                        }
                    }
                }
                @if analytics.conversations.looked_at.is_sample() {
                    p .quiet { "Of the conversations that were looked at: there may be larger ones." }
                }
            }
        }
    }
}
