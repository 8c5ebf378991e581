//! Before every page: who asks is an operator, no more is looked at or done at once than has connections, and what comes of
//! it is a page whatever happens.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::service::Service;
use super::failure::{self, Failure};
use super::visitor::Visitor;
use crate::report::CONVERSATIONS;

/// How many pages about conversations are made at once: each has one connection beside those of the service.
const PAGES: usize = 4;
/// How many actions are done at once. One may take long, as a restore does: it takes no page's place.
const ACTIONS: usize = 2;
/// How long somebody waits for others' pages, or for what others do.
const PATIENCE: Duration = Duration::from_secs(2);

/// What may be made and done at once.
#[derive(Debug)]
pub(in crate::http) struct Looks {
    pages: Semaphore,
    actions: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self { pages: Semaphore::new(PAGES), actions: Semaphore::new(ACTIONS) }
    }
}

impl Looks {
    /// Where a request has its place. The figures have none: they are made once for all who ask meanwhile. Nor has what
    /// is refused by its method.
    fn places(&self, method: &Method, path: &str) -> Option<&Semaphore> {
        match *method {
            _ if !path.starts_with(CONVERSATIONS) => None,
            Method::GET | Method::HEAD => Some(&self.pages),
            Method::POST => Some(&self.actions),
            _ => None,
        }
    }
}

/// Lets an operator through to his page.
pub(super) async fn pass(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let visitor = match Visitor::known(request.headers(), &service) {
        Ok(visitor) => visitor,
        Err(unknown) => return unknown.into_response(),
    };
    let method = request.method().clone();
    let _place = match service.looks().places(&method, request.uri().path()) {
        Some(places) => match timeout(PATIENCE, places.acquire()).await {
            Ok(Ok(place)) => Some(place),
            _ => return busy(&visitor, &method),
        },
        None => None,
    };
    request.extensions_mut().insert(visitor.clone());
    failure::as_page(next.run(request).await, &method, Some(&visitor))
}

fn busy(visitor: &Visitor, method: &Method) -> Response {
    let sentence = if *method == Method::POST {
        "Nothing was done: as much as may be at once is being done already. Wait a moment, go back, and send it again."
    } else {
        "As many pages as have connections to the database are being made: wait a moment, and reload this one."
    };
    let refused = Failure::refused(visitor, StatusCode::SERVICE_UNAVAILABLE, "The console is busy", sentence);
    let mut response = refused.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use secrecy::SecretString;
    use tower::ServiceExt as _;

    use super::super::pages;
    use super::*;
    use crate::PersistenceManager;
    use crate::configuration::{Configuration, OperatorConfig, StoreConfiguration};
    use crate::http::authentication::authenticator;

    async fn service() -> Service {
        let configuration = Configuration::new(StoreConfiguration::Memory);
        let authenticator = authenticator(&configuration.service.authentication).unwrap();
        let manager = PersistenceManager::builder(configuration).initialize().await.unwrap();
        let operator = OperatorConfig { api_keys: vec![SecretString::from("an-operators-own-key")] };
        Service::new(manager, authenticator, None).with_operator(Some(&operator))
    }

    async fn ask(service: &Service, method: Method, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path);
        let request =
            request.header("authorization", "Bearer an-operators-own-key").body(Body::empty()).unwrap();
        let response = pages(service).with_state(service.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn figures_and_actions_take_no_pages_place_and_pages_none_of_an_action() {
        let service = service().await;
        let (of_one, hold) = (
            "/admin/conversations/018f3a5c-7d1e-7b3a-9c55-0242ac120002",
            "/admin/conversations/018f3a5c-7d1e-7b3a-9c55-0242ac120002/hold",
        );
        let looks = service.looks().pages.acquire_many(4).await.unwrap();
        for (method, path) in [
            (Method::GET, "/admin/conversations"),
            (Method::GET, of_one),
            (Method::HEAD, of_one),
            (Method::GET, hold),
        ] {
            assert_eq!(ask(&service, method, path).await.0, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
        let (_, said) = ask(&service, Method::GET, of_one).await;
        assert!(said.contains("The console is busy") && said.contains("reload this one"), "{said}");
        assert_eq!(ask(&service, Method::GET, "/admin").await.0, StatusCode::OK);
        // It has come to where what it sends is looked at.
        assert_eq!(ask(&service, Method::POST, hold).await.0, StatusCode::FORBIDDEN);
        drop(looks);
        let _actions = service.looks().actions.acquire_many(2).await.unwrap();
        let (status, said) = ask(&service, Method::POST, hold).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(said.contains("Nothing was done: ") && !said.contains("reload"), "{said}");
        assert_eq!(ask(&service, Method::GET, "/admin").await.0, StatusCode::OK);
        assert_eq!(ask(&service, Method::GET, of_one).await.0, StatusCode::NOT_FOUND);
    }
}
