//! The page: whole in one file, without a script and without anything from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lcs_domain::UserId;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::text::time;
use super::{Report, database, figure};

pub(crate) const STYLE: &str = include_str!("style.css");

/// Where the service has the figures.
const FIGURES: &str = "/admin";
/// Where it has the conversations.
pub(crate) const CONVERSATIONS: &str = "/admin/conversations";

/// Where the conversations of this user are found.
pub(crate) fn conversations_of(user_id: UserId) -> String {
    format!("{CONVERSATIONS}?user=id:{user_id}")
}

/// The windows that a served page links to, in days.
const WINDOWS: [u32; 4] = [7, 30, 90, 365];

/// The sections: their places and their headings.
const SECTIONS: [(&str, &str); 6] = [
    ("growth", "Growth"),
    ("use", "Use"),
    ("retention", "Retention"),
    ("storage", "Storage"),
    ("database", "Database"),
    ("largest", "Largest conversations"),
];

/// What a browser may do with the page: know its one style, by its hash, and nothing else.
#[must_use]
pub fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// The page that shows `report`. One that is served links to reports of other windows.
#[must_use]
pub fn page(report: &Report, is_served: bool) -> String {
    let analytics = &report.analytics;
    let days = analytics.days.len();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(content_security_policy());
                title { "lcs-persistence: report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#summary" { "To the figures" }
                @if is_served { div .band { (console_navigation(Some(FIGURES))) } }
                header {
                    h1 { @if is_served { "Figures" } @else { "Conversations" } }
                    p .quiet {
                        "As of " (time(analytics.at)) ", in " (database::name(report.database.backend)) ". The window is "
                        @if days == 1 { "today" } @else { "the last " (days) " days" } ", in UTC."
                    }
                    (samples(report))
                }
                (navigation(days, is_served))
                main {
                    div #summary tabindex="-1" { (figure::tiles(report)) }
                    (section("growth", &figure::growth(analytics)))
                    (section("use", &figure::usage(analytics)))
                    (section("retention", &figure::retention(analytics)))
                    (section("storage", &database::storage(&report.database)))
                    (section("database", &database::health(report)))
                    (section("largest", &figure::largest(analytics, is_served)))
                }
                footer {
                    p { "lcs-persistence " (env!("CARGO_PKG_VERSION")) ". No text of a conversation is read for this page." }
                }
            }
        }
    };
    page.into_string()
}

/// What is estimated, where something is.
fn samples(report: &Report) -> Markup {
    let (conversations, turns) = (report.analytics.conversations.looked_at, report.analytics.turns.looked_at);
    html! {
        @if conversations.is_sample() || turns.is_sample() {
            p .quiet {
                "A large table is looked at in part, and its figures are scaled up: here "
                (super::text::share(conversations.share)) " of the conversations and "
                (super::text::share(turns.share)) " of the turns."
            }
        }
    }
}

fn navigation(days: usize, is_served: bool) -> Markup {
    html! {
        nav aria-label="Sections" {
            ul { @for (place, heading) in SECTIONS { li { a href=(format!("#{place}")) { (heading) } } } }
        }
        @if is_served {
            nav aria-label="Window" {
                ul {
                    @for window in WINDOWS {
                        li {
                            a href=(format!("?days={window}")) aria-current=[(days == window as usize).then_some("page")] {
                                (window) " days"
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The way from one of the console's pages to the others.
pub(crate) fn console_navigation(here: Option<&str>) -> Markup {
    html! {
        nav aria-label="Console" {
            ul {
                li .brand { "lcs-persistence" }
                @for (path, name) in [(FIGURES, "Figures"), (CONVERSATIONS, "Conversations")] {
                    li { a href=(path) aria-current=[(here == Some(path)).then_some("page")] { (name) } }
                }
            }
        }
    }
}

fn section(place: &str, content: &Markup) -> Markup {
    let heading = SECTIONS.iter().find(|(of, _)| *of == place).map_or(place, |(_, heading)| heading);
    let name = format!("{place}-heading");
    html! {
        section id=(place) aria-labelledby=(name) {
            h2 id=(name) { (heading) }
            (content)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use lcs_domain::analytics::{Tally, UserFigures};
    use lcs_domain::database::{IndexStatus, StatementStatus, TableStatus};
    use lcs_domain::{AnalyticsWindow, DatabaseStatus, RetentionPolicy};

    use super::*;

    fn report() -> Report {
        let policy = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24)).unwrap();
        let users = UserFigures { total: 0, active: 0, at_least: false };
        let tally = Tally::new(AnalyticsWindow::default(), policy, DateTime::UNIX_EPOCH);
        let table = TableStatus {
            name: "<b>".into(),
            total_bytes: 3,
            row_bytes: 1,
            long_value_bytes: 1,
            index_bytes: 1,
            rows: Some(1),
            dead_rows: Some(1),
            last_vacuum: None,
            sequential_scans: Some(1),
        };
        let index = IndexStatus {
            name: "<i>".into(),
            table: "<b>".into(),
            bytes: 1,
            scans: Some(0),
            is_unique: false,
            bloat_bytes: Some(1),
        };
        let statement = StatementStatus {
            text: "SELECT '<script>'".into(),
            calls: 1,
            total_ms: 1.0,
            mean_ms: 1.0,
            max_ms: 1.0,
        };
        let database = DatabaseStatus {
            backend: "postgresql",
            bytes: Some(3),
            tables: vec![table],
            indexes: vec![index],
            statements: Some(vec![statement]),
            ..DatabaseStatus::default()
        };
        let findings = database.findings();
        Report { analytics: tally.finish(0.5, 0.01, users), database, findings, cache: None }
    }

    #[test]
    fn the_page_asks_nobody_runs_nothing_and_keeps_to_its_policy() {
        for is_served in [true, false] {
            let page = page(&report(), is_served);
            let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
            assert_eq!(style, STYLE, "the policy's hash is that of the page's style");
            assert!(content_security_policy().contains(&STANDARD.encode(Sha256::digest(style))));
            for forbidden in [
                "<script",
                "http://",
                "https://",
                " style=",
                "@import",
                "url(",
                " onclick",
                "javascript:",
                "src=",
            ] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            assert_eq!(page.contains("?days=90"), is_served);
        }
    }

    #[test]
    fn what_a_database_calls_its_things_is_text() {
        let page = page(&report(), false);
        assert!(page.contains("&lt;b&gt;") && page.contains("&lt;i&gt;") && !page.contains("<i>"), "{page}");
        assert!(page.contains("SELECT '&lt;script&gt;'"), "{page}");
    }

    #[test]
    fn what_is_estimated_is_said_to_be_on_each_tile() {
        let page = page(&report(), false);
        let tiles = page.split("class=\"tiles\"").nth(1).unwrap().split("</dl>").next().unwrap();
        for name in ["Conversations", "Turns", "Tokens", "Due to be purged"] {
            let tile = tiles.split(&format!("<dt>{name}</dt>")).nth(1).unwrap();
            assert!(tile.starts_with("<dd class=\"value\">about "), "{name}: {tile}");
        }
    }

    #[test]
    fn every_link_leads_somewhere_and_every_section_has_a_heading() {
        let page = page(&report(), true);
        for place in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(page.contains(&format!("id=\"{place}\"")), "{place}");
        }
        assert_eq!(page.matches("<section").count(), SECTIONS.len());
        assert!(page.contains("50 % of the conversations and 1.0 % of the turns"), "{page}");
    }
}
