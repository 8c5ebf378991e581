//! The operator's console, asked without a browser: who is let in, what is taken for a form, and that it is done once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use lcs_app::PersistenceManager;
use lcs_domain::{AuditQuery, AuditRecord, SystemClock};
use lcs_storage::memory::Memory;
use serde_json::json;

use crate::api::{Answer, Api};
use crate::operator::{KEY, configured};

/// As a browser sends them: `operator:` and the key, and where the form comes from.
const BASIC: (&str, &str) = ("authorization", "Basic b3BlcmF0b3I6YW4tb3BlcmF0b3JzLW93bi1rZXk=");
const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn console() -> (Api, String) {
    let api = Api::over(configured(&format!("  operator: {{api_key: {KEY}}}\n"))).await;
    let id = api.begin("my canary is <b>yellow</b> & \"loud\"").await;
    (api, id)
}

async fn ask(api: &Api, path: &str) -> Answer {
    let request = Request::get(path).header(BASIC.0, BASIC.1).body(Body::empty()).unwrap();
    api.send_undocumented(request).await
}

async fn post(api: &Api, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(Method::POST).uri(path);
    request = request.header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send_undocumented(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// The hidden parts of the form on a page, as a browser sends them.
fn hidden(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let part = |name: &str| {
        let rest = answer.text.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        format!("{name}={}", rest.split('"').next().unwrap())
    };
    format!("{}&{}", part("form"), part("token"))
}

async fn events(api: &Api) -> Vec<AuditRecord> {
    api.service.manager().repositories().audit().records(AuditQuery::default()).await.unwrap()
}

async fn actions(api: &Api) -> Vec<String> {
    events(api).await.into_iter().map(|event| event.action).collect()
}

#[tokio::test]
async fn every_page_is_the_operators_and_what_went_wrong_is_a_page_too() {
    let (api, id) = console().await;
    let absent = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";
    for (path, status) in [
        ("/admin".to_owned(), 200),
        ("/admin?days=0".to_owned(), 422),
        ("/admin/nothing".to_owned(), 404),
        ("/admin/conversations".to_owned(), 200),
        ("/admin/conversations?id=x".to_owned(), 422),
        ("/admin/conversations?after=x".to_owned(), 422),
        ("/admin/conversations/x".to_owned(), 404),
        (format!("/admin/conversations/{absent}"), 404),
        (format!("/admin/conversations/{id}"), 200),
        (format!("/admin/conversations/{id}?after=x"), 422),
        (format!("/admin/conversations/{id}/turns/0"), 404),
        (format!("/admin/conversations/{id}/turns/2"), 404),
        (format!("/admin/conversations/{id}/hold"), 200),
        (format!("/admin/conversations/{id}/delete"), 200),
        (format!("/admin/conversations/{id}/release"), 404),
        (format!("/admin/conversations/{id}/release?hold={absent}"), 404),
        (format!("/admin/conversations/{id}/explode"), 404),
        (format!("/admin/conversations/{absent}/delete"), 404),
    ] {
        let answer = ask(&api, &path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.text.contains("<h1"), "{path}: {}", answer.text);
        let stranger = api.send_undocumented(Request::get(&path).body(Body::empty()).unwrap()).await;
        assert_eq!(stranger.status, 401, "{path}");
        let asks = stranger.headers.get_all("www-authenticate").iter();
        assert!(asks.into_iter().any(|value| value.to_str().unwrap().starts_with("Basic realm=")), "{path}");
        assert!(!stranger.text.contains("canary") && !stranger.text.contains("Figures"), "{}", stranger.text);
    }
}

#[tokio::test]
async fn nobody_comes_to_any_page_without_the_key_and_in_no_way() {
    let (api, id) = console().await;
    let paths: Vec<&str> = lcs_app::http::console_paths().collect();
    assert!(paths.len() >= 9 && paths.contains(&"/admin/conversations/{id}"), "{paths:?}");
    for path in paths {
        let path = path.replace("{id}", &id).replace("{number}", "1").replace("{action}", "hold");
        let path = path.replace("{*other}", "some/where");
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS]
        {
            for (name, value) in
                [("x-none", ""), ("authorization", "Basic eDp5"), ("authorization", "Bearer x")]
            {
                let request = Request::builder().method(&method).uri(&path).header(name, value);
                let answer = api.send_undocumented(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, 401, "{method} {path} {value}: {}", answer.text);
                assert!(!answer.text.contains("canary"), "{method} {path}");
            }
            let request = Request::builder().method(&method).uri(&path).header(BASIC.0, BASIC.1);
            let request = request.header("sec-fetch-site", "cross-site").header("sec-fetch-dest", "iframe");
            let answer = api.send_undocumented(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_page_too() {
    let (api, id) = console().await;
    let of_it = format!("/admin/conversations/{id}");
    for (method, path, status, title) in [
        (Method::GET, "/admin/conversations/%ff", 400, "This address cannot be read"),
        (Method::GET, "/admin/conversations/%ff/hold", 400, "This address cannot be read"),
        (Method::GET, "/admin/%ff", 404, "There is no such page"),
        (Method::PUT, "/admin", 405, "This page is not asked for in this way"),
        (Method::POST, "/admin/conversations", 405, "This page is not asked for in this way"),
        (Method::DELETE, of_it.as_str(), 405, "This page is not asked for in this way"),
    ] {
        let request = Request::builder().method(&method).uri(path).header(BASIC.0, BASIC.1);
        let answer = api.send_undocumented(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("text/html"), "{method} {path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
        for part in [title, "<h1", "href=\"/admin/conversations\""] {
            assert!(answer.text.contains(part), "{method} {path}: {part}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_is_cut_says_so_and_leads_to_all_of_it() {
    let (api, _) = console().await;
    let (prompt, long) = ("é".repeat(10_000), "x".repeat(10_000));
    let new = json!({ "system_prompt": prompt, "metadata": { "long": long } });
    let made = api.post("/v1/conversations", &new).await.expect(201);
    let path = format!("/admin/conversations/{}", made["conversation_id"].as_str().unwrap());
    let page = ask(&api, &path).await.text;
    assert!(page.contains("It is longer: ") && !page.contains(&prompt) && !page.contains(&long), "{page}");
    let whole = format!("{path}/stored");
    assert_eq!(page.matches(&format!("href=\"{whole}\"")).count(), 2, "of the prompt and the metadata");
    let stored = ask(&api, &whole).await.expect(200);
    assert_eq!(stored["system_prompt"], prompt.as_str());
    assert_eq!(stored["metadata"]["long"], long.as_str());
    assert!(actions(&api).await.contains(&"conversation_read".to_owned()));
}

#[tokio::test]
async fn what_was_said_is_text_and_who_reads_it_is_recorded_once() {
    let (api, id) = console().await;
    let found = ask(&api, "/admin/conversations?topic=CANARY").await;
    assert!(found.text.contains(&id) && found.text.contains("my canary is &lt;b&gt;yellow&lt;/b&gt;"));
    assert!(!ask(&api, "/admin/conversations?topic=parrot").await.text.contains(&id));
    assert_eq!(actions(&api).await, [""; 0], "a list shows no content but topics");
    for path in ["", "?after=0", "/turns/1", "/agent-state", ""] {
        let answer = ask(&api, &format!("/admin/conversations/{id}{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(answer.text.contains("canary"), "{path}: {}", answer.text);
        assert!(
            !answer.text.contains("<b>yellow") || !answer.header("content-type").contains("html"),
            "{path}"
        );
    }
    let events = events(&api).await;
    let [read] = events.as_slice() else { panic!("one row: {events:?}") };
    assert_eq!((read.action.as_str(), read.actor.as_str()), ("conversation_read", "operator:key (operator)"));
    assert_eq!(read.conversation_id.unwrap().to_string(), id);
    assert!(read.on_behalf_of.is_some());
}

#[tokio::test]
async fn another_sites_page_has_nothing_done() {
    let (api, id) = console().await;
    let path = format!("/admin/conversations/{id}/delete");
    let form = hidden(&ask(&api, &path).await);
    let body = format!("{form}&typed={}", id.get(30..).unwrap());
    let origin = ("origin", "http://evil.example");
    let host = ("host", "lcs.example");
    for headers in [
        &[BASIC][..],
        &[BASIC, ("sec-fetch-site", "cross-site")],
        &[BASIC, ("sec-fetch-site", "same-site")],
        &[BASIC, ("sec-fetch-site", "none")],
        &[BASIC, origin, host],
        &[BASIC, ("origin", "null"), host],
    ] {
        let answer = post(&api, &path, headers, &body).await;
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.text);
    }
    assert_eq!(post(&api, &path, &[SAME_ORIGIN], &body).await.status, 401, "nor without the key");
    // Where the page could have it sent from here, it does not know the token; nor is one good for anything else.
    let other = api.begin("another").await;
    let of_other = hidden(&ask(&api, &format!("/admin/conversations/{other}/delete")).await);
    let of_hold = hidden(&ask(&api, &format!("/admin/conversations/{id}/hold")).await);
    for stolen in ["", "form=x&token=0.AAAA", &of_other, &of_hold] {
        let body = format!("{stolen}&typed={}", id.get(30..).unwrap());
        let answer = post(&api, &path, &[BASIC, SAME_ORIGIN], &body).await;
        assert_eq!(answer.status, 403, "{stolen}: {}", answer.text);
    }
    let no_form = api.send_undocumented(
        Request::post(&path)
            .header(BASIC.0, BASIC.1)
            .header(SAME_ORIGIN.0, SAME_ORIGIN.1)
            .body(Body::from("{}"))
            .unwrap(),
    );
    assert_eq!(no_form.await.status, 415);
    api.get(&format!("/v1/conversations/{id}")).await.expect(200);
    assert!(!actions(&api).await.contains(&"conversation_deleted".to_owned()));
    // And with all of it, by either way in which a browser says where it comes from.
    for (headers, done) in [
        (&[BASIC, ("origin", "http://lcs.example"), host][..], "deleted"),
        (&[BASIC, SAME_ORIGIN], "was-deleted"),
    ] {
        let answer = post(&api, &path, headers, &body).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(answer.header("location"), format!("/admin/conversations/{id}?done={done}"));
    }
    api.get(&format!("/v1/conversations/{id}")).await.expect(404);
    let deleted = actions(&api).await.into_iter().filter(|action| action == "conversation_deleted").count();
    assert_eq!(deleted, 1, "once");
}

#[tokio::test]
async fn a_delete_is_typed_and_a_hold_has_a_reason() {
    let (api, id) = console().await;
    let path = format!("/admin/conversations/{id}");
    let form = hidden(&ask(&api, &format!("{path}/delete")).await);
    for typed in ["", "delete", id.get(..6).unwrap()] {
        let answer =
            post(&api, &format!("{path}/delete"), &[BASIC, SAME_ORIGIN], &format!("{form}&typed={typed}"))
                .await;
        assert_eq!(answer.status, 422, "{typed}");
        assert!(answer.text.contains("not the last six digits"), "{}", answer.text);
    }
    let form = hidden(&ask(&api, &format!("{path}/hold")).await);
    let answer =
        post(&api, &format!("{path}/hold"), &[BASIC, SAME_ORIGIN], &format!("{form}&reason=+&scope=user"))
            .await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("Say why: it is empty: write a name."), "{}", answer.text);
    // The same form sent twice places one hold; of the user's, where that was chosen.
    for _ in 0..2 {
        let body = format!("{form}&reason=matter+7&scope=user");
        let answer = post(&api, &format!("{path}/hold"), &[BASIC, SAME_ORIGIN], &body).await;
        assert_eq!(answer.header("location"), format!("{path}?done=held"), "{}", answer.text);
    }
    let page = ask(&api, &format!("{path}?done=held")).await.text;
    assert!(page.contains("The hold is placed.") && page.contains("all of the user"), "{page}");
    assert_eq!(page.matches("matter 7").count(), 2, "in one row, and in its button's name: {page}");
    // What a form may say is one of a few words.
    assert!(!ask(&api, &format!("{path}?done=you+won")).await.text.contains("you won"));
    let hold = page.split("release?hold=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = hidden(&ask(&api, &format!("{path}/release?hold={hold}")).await);
    for _ in 0..2 {
        let answer = post(&api, &format!("{path}/release"), &[BASIC, SAME_ORIGIN], &form).await;
        assert_eq!(answer.header("location"), format!("{path}?done=released"), "{}", answer.text);
    }
    let done = actions(&api).await;
    assert_eq!(done, ["hold_placed", "conversation_read", "hold_released"].map(str::to_owned));
}

#[tokio::test]
async fn of_a_purged_one_is_shown_when_and_why() {
    let (api, id) = console().await;
    api.delete(&format!("/v1/conversations/{id}")).await.expect(200);
    api.service.manager().retention().cleanup_old_conversations(|_| ()).await.unwrap();
    let page = ask(&api, &format!("/admin/conversations/{id}")).await;
    assert_eq!(page.status, 200);
    for part in ["Purged conversation", "it was deleted", "conversation deleted", "purge"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let found = ask(&api, &format!("/admin/conversations?id={id}")).await.text;
    assert!(found.contains("This conversation was purged"), "{found}");
    assert_eq!(ask(&api, &format!("/admin/conversations/{id}/delete")).await.status, 404);
}

#[tokio::test]
async fn what_is_archived_is_restored_once_and_who_asked_for_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let lines = format!("  enable_archival: true\n  archive_url: {url}\n  operator: {{api_key: {KEY}}}\n");
    let store = Arc::new(Memory::new(Arc::new(SystemClock)));
    let builder = PersistenceManager::builder(configured(&lines)).repositories(store.clone());
    let api = Api::with_operator(builder.initialize().await.unwrap(), &configured(&lines));
    let id = api.begin("my canary is yellow").await;
    store.age(id.parse().unwrap(), Duration::from_hours(24 * 365));
    let path = format!("/admin/conversations/{id}");
    assert_eq!(ask(&api, &format!("{path}/restore")).await.status, 404, "it is stored");
    let report = api.service.manager().retention().cleanup_old_conversations(|_| ()).await.unwrap();
    assert_eq!(report.archived, 1);
    let page = ask(&api, &path).await.text;
    assert!(page.contains("Archived conversation") && page.contains(&format!("{path}/restore")), "{page}");
    assert!(!page.contains("canary"), "{page}");
    let form = hidden(&ask(&api, &format!("{path}/restore")).await);
    assert_eq!(post(&api, &format!("{path}/restore"), &[BASIC], &form).await.status, 403);
    // Sent again, it is restored already: nothing more is done.
    for done in ["restored", "was-restored"] {
        let answer = post(&api, &format!("{path}/restore"), &[BASIC, SAME_ORIGIN], &form).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(answer.header("location"), format!("{path}?done={done}"));
    }
    assert!(ask(&api, &format!("{path}?done=restored")).await.text.contains("canary"));
    assert!(ask(&api, &format!("{path}?done=was-restored")).await.text.contains("nothing was done"));
    let events = events(&api).await;
    let asked = events.iter().find(|event| event.action == "restore" && event.outcome == "begun").unwrap();
    assert_eq!(asked.actor, "operator:key (operator)");
    let done = events.iter().filter(|event| event.action == "restore" && event.outcome == "done").count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_long_history_is_bounded_and_its_pages_are_all_of_it() {
    let (api, _) = console().await;
    let made = api.post("/v1/conversations", &json!({})).await.expect(201);
    let id = made["conversation_id"].as_str().unwrap();
    for number in 1..=45 {
        let long = if number == 1 { "é".repeat(50_000) } else { String::new() };
        let turn = json!({ "input_messages": format!("question {number}."), "output_message": long });
        api.post(&format!("/v1/conversations/{id}/turns"), &turn).await.expect(201);
    }
    let mut path = format!("/admin/conversations/{id}");
    let mut seen = Vec::new();
    loop {
        let page = ask(&api, &path).await.text;
        assert!(page.len() < 100_000, "{}", page.len());
        let numbers: Vec<u32> =
            (1..=45).filter(|number| page.contains(&format!("question {number}."))).collect();
        assert!(numbers.len() <= 20);
        seen.splice(0..0, numbers);
        let Some(earlier) = page.split("rel=\"prev\" href=\"").nth(1) else { break };
        path = earlier.split('"').next().unwrap().replace("#history", "");
    }
    assert_eq!(seen, (1..=45).collect::<Vec<_>>());
    let raw = ask(&api, &format!("/admin/conversations/{id}/turns/1")).await;
    assert_eq!(raw.expect(200)["output_message"], "é".repeat(50_000));
}
