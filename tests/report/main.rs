//! The report page, as a browser shows it: in a headless Chromium, of a database with half a year in it.
//!
//! The pictures are kept under `target/report`, to be looked at.
#![cfg(test)]

mod database;

use std::fs;
use std::path::PathBuf;

use lcs_app::AnalyticsService;
use lcs_app::report::page;
use lcs_domain::{AnalyticsWindow, RetentionPolicy};
use lcs_tests::browser::{Browser, Scheme};

/// Where the page and its pictures are kept.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let folder = target.join("report");
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

#[tokio::test]
async fn the_page_is_readable_light_and_dark_wide_and_narrow_with_the_keyboard_too() {
    let (_cluster, store) = database::with_half_a_year().await;
    let policy = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(90 * 24)).unwrap();
    let service = AnalyticsService::new(store, policy);
    let report = service.report(AnalyticsWindow::of_days(90).unwrap()).await.unwrap();
    let folder = folder();
    let file = folder.join("report.html");
    fs::write(&file, page(&report, true)).unwrap();
    let browser = Browser::start().await;
    let url = format!("file://{}", file.display());

    let mut grounds = Vec::new();
    for (scheme, name) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
        for (width, size) in [(1280, "wide"), (390, "narrow")] {
            browser.show(scheme, width).await;
            browser.open(&url).await;
            browser.picture(&folder.join(format!("{name}-{size}.png"))).await;
            let seen = browser.look().await;
            let width = i64::from(width);
            assert!(
                seen["scroll_width"].as_i64().unwrap() <= width,
                "{name} {size} scrolls sideways: {seen}"
            );
            assert!(
                seen["least_text_px"].as_f64().unwrap() >= 9.0,
                "{name} {size}: text is too small: {seen}"
            );
            assert!(seen["least_contrast"][0].as_f64().unwrap() >= 4.5, "{name} {size}: contrast: {seen}");
            // Whatever is there to be used can be come to with the keyboard, and shows that it has been.
            assert!(seen["focusable"].as_u64().unwrap() >= 12, "{name} {size}: {seen}");
            assert_eq!(seen["unfocused"], 0, "{name} {size}: {seen}");
            assert!(seen["bars"].as_u64().unwrap() >= 150, "{name} {size}: {seen}");
            grounds.push((name, seen["ground"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(browser.complaints(), [""; 0], "nothing is wanted that the page's policy forbids");
    for asked in browser.asked() {
        assert!(asked == url || asked == "about:blank", "it asks {asked}");
    }
    let (light, dark) = (&grounds[0].1, &grounds[2].1);
    assert_ne!(light, dark, "the scheme is the reader's");
}
