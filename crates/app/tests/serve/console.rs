//! The operator's console in a real Chromium, with the keyboard alone. Its pictures are kept under
//! `target/screenshots/console`, to be looked at.

mod limit;
mod right;
mod stage;

use std::fs;
use std::path::PathBuf;

use lcs_domain::UserId;
use lcs_storage::testing::TestPostgres;
use lcs_tests::browser::{Browser, Scheme};
use serde_json::json;

use self::stage::{KEY, Stage};
use crate::process::{CANARY, Place, Process};

const CONFIGURATION: &str = "operator: {api_key: an-operators-own-key}";

/// Where pictures are kept.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let folder = target.join("screenshots/console");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// An operator's browser at the console's first page, after he has typed his name and key.
async fn sign_in(browser: &Browser, process: &Process, host: &str) -> String {
    let port = process.url.strip_prefix("http://127.0.0.1").unwrap();
    browser.open(&format!("http://ada:{KEY}@{host}{port}/admin")).await;
    // Its links would have them too, and a browser waits to be asked for what stands in a link.
    let here = format!("http://{host}{port}/admin");
    browser.open(&here).await;
    here
}

/// Nothing was asked of anybody but the service, and nothing was wanted that the pages' policy forbids.
fn assert_contained(browser: &Browser, process: &Process) {
    let port = process.url.rsplit(':').next().unwrap();
    let hosts = ["127.0.0.1", "lcs.example"].map(|host| format!("{host}:{port}/admin"));
    let asked = browser.asked();
    assert!(asked.len() > 5, "the browser was listened to: {asked:?}");
    for url in asked {
        let is_here = hosts.iter().any(|here| url.contains(here));
        assert!(is_here || url == "about:blank", "it asks {url}");
    }
    let complaints = browser.complaints();
    // An answer of 422 is one, and is what was meant.
    let complaints: Vec<_> = complaints.iter().filter(|said| !said.contains("status of 422")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Finds a user's conversations, from the list of all and back to it.
async fn find_by_user(browser: &Browser, stage: &Stage) {
    // The id that is shown may be somebody's name, too: it is not guessed which.
    let barbara = UserId::from_text("barbara");
    browser.tab_to("User").await;
    browser.type_text(&barbara.to_string()).await;
    browser.leads(browser.press("Enter")).await;
    let asked = browser.text().await;
    assert!(
        asked.contains(&format!("write id:{barbara} for the user of that id, name:{barbara} for")),
        "{asked}"
    );
    browser.tab_to("User").await;
    browser.type_text(&format!("id:{barbara}")).await;
    browser.leads(browser.press("Enter")).await;
    let found = browser.text().await;
    assert!(found.contains("2 conversations, newest first.") && found.contains(&stage.other), "{found}");
    browser.tab_to("Show all").await;
    browser.leads(browser.press("Enter")).await;
    // What the pages link to is understood.
    browser.tab_to(&barbara.to_string()).await;
    browser.leads(browser.press("Enter")).await;
    let found = browser.text().await;
    assert!(found.contains("2 conversations, newest first.") && found.contains(&stage.other), "{found}");
    browser.tab_to("Show all").await;
    browser.leads(browser.press("Enter")).await;
}

/// Finds, reads, holds, deletes and lets go of a conversation without a mouse.
async fn work(place: &Place) {
    let process = place.serve().await;
    let stage = Stage::set(&process).await;
    let browser = Browser::start().await;
    browser.show(Scheme::Light, 1280).await;
    sign_in(&browser, &process, "127.0.0.1").await;
    assert!(browser.text().await.contains("Largest conversations"));

    browser.tab_to("Conversations").await;
    browser.leads(browser.press("Enter")).await;
    find_by_user(&browser, &stage).await;
    browser.tab_to("Topic").await;
    browser.type_text("AFTER the upgrade").await;
    browser.leads(browser.press("Enter")).await;
    let found = browser.text().await;
    assert!(found.contains("1 conversation.") && found.contains(&stage.conversation), "{found}");
    browser.tab_to("Why do pods restart").await;
    browser.leads(browser.press("Enter")).await;
    assert_eq!(browser.url().await, format!("{}/admin/conversations/{}", process.url, stage.conversation));
    let read = browser.text().await;
    for part in [
        "<script>document.title = 'taken'</script>",
        "Tool call: oc_get_events",
        "conversation read",
        "operator:key (ada)",
        "No hold is on it.",
    ] {
        assert!(read.contains(part), "{part}: {read}");
    }
    assert!(browser.evaluate("document.title").await.as_str().unwrap().starts_with("Why do pods"));

    browser.tab_to("Place a hold").await;
    browser.leads(browser.press("Enter")).await;
    // The field has the focus already.
    browser.focused("Why").await;
    browser.type_text("matter 7").await;
    browser.tab_to("Place the hold").await;
    browser.leads(browser.press("Enter")).await;
    let held = browser.text().await;
    for part in ["The hold is placed.", "as long as a hold is on it", "matter 7", "hold placed"] {
        assert!(held.contains(part), "{part}: {held}");
    }

    browser.tab_to("Delete").await;
    browser.leads(browser.press("Enter")).await;
    assert!(browser.text().await.contains("A legal hold is on it: its rows stay"));
    browser.focused("To delete it").await;
    browser.type_text("000000").await;
    browser.leads(browser.press("Enter")).await;
    assert!(browser.text().await.contains("These are not the last six digits of its id."));
    browser.focused("To delete it").await;
    browser.type_text(&stage.last_digits()).await;
    browser.leads(browser.press("Enter")).await;
    let deleted = browser.text().await;
    for part in ["The conversation is deleted.", "conversation deleted", "Tool call: oc_get_events"] {
        assert!(deleted.contains(part), "{part}: {deleted}");
    }
    let path = format!("/v1/conversations/{}", stage.conversation);
    process.client.get(&path).await.expect(404);

    browser.tab_to("Release the hold matter 7").await;
    browser.leads(browser.press("Enter")).await;
    browser.tab_to("Release the hold").await;
    browser.leads(browser.press("Enter")).await;
    let released = browser.text().await;
    assert!(
        released.contains("The hold is released.") && released.contains("No hold is on it."),
        "{released}"
    );
    // All of it is in the log, each once, with the key first and the name that was written beside it.
    let events = place.command(&["audit", "list", "--json", "--conversation", &stage.conversation]).output();
    let events: serde_json::Value = serde_json::from_slice(&events.await.unwrap().stdout).unwrap();
    let done: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    let expected = ["conversation_read", "hold_placed", "conversation_deleted", "hold_released"];
    assert_eq!(done, expected.map(|word| json!(word)).iter().collect::<Vec<_>>());
    for event in events["events"].as_array().unwrap() {
        assert_eq!(event["actor"], "operator:key (ada)", "{event}");
        assert!(!event.to_string().contains(CANARY), "{event}");
    }

    // By a name that the browser trusts less it does not say where a form comes from, but for its origin.
    let here = sign_in(&browser, &process, "lcs.example").await;
    browser.open(&format!("{here}/conversations/{}/hold", stage.other)).await;
    browser.focused("Why").await;
    browser.type_text("matter 8").await;
    browser.leads(browser.press("Enter")).await;
    assert!(browser.text().await.contains("The hold is placed."));
    assert_contained(&browser, &process);
    process.stop().await;
}

#[tokio::test]
async fn an_operator_works_with_the_keyboard_alone_on_sqlite() {
    work(&Place::configured(CONFIGURATION, &[KEY])).await;
}

#[tokio::test]
async fn an_operator_works_with_the_keyboard_alone_on_postgresql() {
    let database = TestPostgres::create().await;
    work(&Place::at(database.url(), CONFIGURATION, &[KEY, database.password()])).await;
}

/// Opens each page light and dark, wide and narrow, keeps a picture of it, and gives the colours of their grounds.
async fn looked_at(browser: &Browser, process: &Process, pages: &[(&str, String)]) -> Vec<serde_json::Value> {
    let mut grounds = Vec::new();
    for (scheme, width) in
        [(Scheme::Light, 1280), (Scheme::Dark, 1280), (Scheme::Light, 390), (Scheme::Dark, 390)]
    {
        browser.show(scheme, width).await;
        for (name, path) in pages {
            browser.open(&format!("{}/admin{path}", process.url)).await;
            let seen = browser.look().await;
            let size = if width > 1000 { "wide" } else { "narrow" };
            let page = format!("{name}-{}-{size}", scheme.as_str());
            browser.picture(&folder().join(format!("{page}.png"))).await;
            assert!(
                seen["scroll_width"].as_u64().unwrap() <= width.into(),
                "{page} scrolls sideways: {seen}"
            );
            assert!(seen["least_text_px"].as_f64().unwrap() >= 9.0, "{page}: text is too small: {seen}");
            assert!(seen["least_contrast"][0].as_f64().unwrap() >= 4.5, "{page}: contrast: {seen}");
            assert_eq!((&seen["headings"], &seen["mains"]), (&json!(1), &json!(1)), "{page}: {seen}");
            for none in ["unfocused", "unlabelled", "unscoped"] {
                assert_eq!(seen[none], 0, "{page}: {none}: {seen}");
            }
            grounds.push(seen["ground"].clone());
        }
    }
    grounds
}

#[tokio::test]
async fn every_page_is_readable_light_and_dark_wide_and_narrow() {
    let place = Place::configured(CONFIGURATION, &[KEY]);
    let process = place.serve().await;
    let stage = Stage::set(&process).await;
    let hold = ["hold", "place", "--reason", "matter 2026/17", "--conversation", &stage.conversation];
    assert!(place.command(&hold).output().await.unwrap().status.success());
    let [purged, deleted] = [
        process.client.begin(&format!("to be purged: {CANARY}")).await,
        process.client.begin(&format!("deleted: {CANARY}")).await,
    ];
    process.client.delete(&format!("/v1/conversations/{purged}")).await.expect(200);
    assert!(place.command(&["cleanup"]).output().await.unwrap().status.success());
    process.client.delete(&format!("/v1/conversations/{deleted}")).await.expect(200);
    let browser = Browser::start().await;
    sign_in(&browser, &process, "127.0.0.1").await;
    let conversation = format!("/conversations/{}", stage.conversation);
    let pages = [
        ("notice", format!("{conversation}?done=held")),
        ("deleted", format!("/conversations/{deleted}")),
        ("purged", format!("/conversations/{purged}")),
        ("wrong-days", "?days=0".to_owned()),
        ("unreadable-address", "/conversations/%ff".to_owned()),
        ("figures", String::new()),
        ("search", "/conversations".to_owned()),
        ("nothing-found", "/conversations?topic=nobody+speaks+of+this".to_owned()),
        ("wrong-id", "/conversations?id=nothing".to_owned()),
        ("conversation", conversation.clone()),
        ("long", format!("/conversations/{}?after=20", stage.other)),
        ("hold", format!("{conversation}/hold")),
        ("delete", format!("{conversation}/delete")),
        ("absent", "/conversations/018f3a5c-7d1e-7b3a-9c55-0242ac120002".to_owned()),
    ];
    let grounds = looked_at(&browser, &process, &pages).await;
    assert_ne!(grounds.first(), grounds.get(pages.len()), "the scheme is the reader's");
    let complaints = browser.complaints();
    let unmeant = complaints.iter().find(|said| !said.contains("status of 4"));
    assert_eq!(unmeant, None);
    process.stop().await;
}
