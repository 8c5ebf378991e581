//! A headless Chromium, driven by its own protocol through two pipes: keys are pressed, pictures taken, and all that it
//! asks of anybody is seen from before the first page on.
//!
//! What a crate for that protocol would bring is its whole vocabulary as code, which takes minutes to build; these are
//! the dozen words that are needed.

mod pipe;

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::timeout;

use self::pipe::Pipe;

/// What has the focus: what it is called, and whether that it has the focus is seen.
const FOCUSED: &str = "(() => { const at = document.activeElement; const style = getComputedStyle(at); \
    const label = at.labels?.[0]?.innerText ?? at.getAttribute('aria-label') ?? at.innerText ?? ''; \
    return [label.replace(/\\s+/g, ' ').trim(), style.outlineStyle !== 'none' && style.outlineWidth !== '0px']; })()";
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the reader has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    pipe: Pipe,
    session: String,
}

impl Browser {
    /// Starts the one that `CHROMIUM` names, else `chromium`. It finds this machine by the name `lcs.example` too, and
    /// no other.
    pub async fn start() -> Self {
        let pipe = Pipe::open().await;
        let target = pipe.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = pipe.call(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let browser = Self { pipe, session };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        // It is there before any page is, on every page.
        browser.call("Runtime.addBinding", json!({ "name": "violated" })).await;
        let listener = "addEventListener('securitypolicyviolation', (event) => \
            window.violated(event.effectiveDirective + ' ' + event.blockedURI), true)";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": listener })).await;
        browser
    }

    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.pipe.call(Some(&self.session), method, parameters).await
    }

    /// Opens a page, and waits until it is there.
    pub async fn open(&self, url: &str) {
        let opened = self.leads(async { self.call("Page.navigate", json!({ "url": url })).await }).await;
        assert!(opened["errorText"].is_null(), "{opened}");
    }

    /// Waits for the page that `action` leads to.
    pub async fn leads<T>(&self, action: impl Future<Output = T>) -> T {
        let loaded = || self.pipe.heard("Page.loadEventFired").len();
        let before = loaded();
        let done = action.await;
        let waited = timeout(PATIENCE, async {
            while loaded() == before {
                self.pipe.wait().await;
            }
        });
        assert!(waited.await.is_ok(), "no page came");
        done
    }

    /// What an expression is on the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", ask).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text that the page shows.
    pub async fn text(&self) -> String {
        self.evaluate("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Where it is.
    pub async fn url(&self) -> String {
        self.evaluate("location.href").await.as_str().unwrap_or_default().to_owned()
    }

    /// Presses a key: `Tab`, `Enter`, ` `, or a letter.
    pub async fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            " " => (32, " "),
            key => (0, key),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// Types a text, key by key.
    pub async fn type_text(&self, text: &str) {
        for key in text.chars() {
            self.press(&key.to_string()).await;
        }
    }

    /// Presses Tab until what has the focus is called `name`, as somebody does who has no mouse. The focus must be seen.
    pub async fn tab_to(&self, name: &str) {
        let mut met = Vec::new();
        for _ in 0..200 {
            self.press("Tab").await;
            let focused = self.evaluate(FOCUSED).await;
            let label = focused[0].as_str().unwrap_or_default().to_owned();
            if label.starts_with(name) {
                assert_eq!(focused[1], true, "{name} has the focus, and nobody sees it");
                return;
            }
            met.push(label);
        }
        panic!("{name:?} is not come to with the keyboard: {met:?}");
    }

    /// Waits until what is called `name` has the focus: a page gives it a moment after it is there.
    pub async fn focused(&self, name: &str) {
        let waited = timeout(PATIENCE, async {
            while !self.evaluate(FOCUSED).await[0].as_str().is_some_and(|label| label.starts_with(name)) {
                self.pipe.wait().await;
            }
        });
        assert!(waited.await.is_ok(), "{name} does not get the focus");
    }

    /// Shows pages in this scheme, in a window of this width.
    pub async fn show(&self, scheme: Scheme, width: u32) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme.as_str() }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What is seen of the page: see `looker.js`.
    pub async fn look(&self) -> Value {
        self.evaluate(include_str!("browser/looker.js")).await
    }

    /// Takes a picture of the whole page.
    pub async fn picture(&self, file: &Path) {
        let metrics = self.call("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let ask = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", ask).await;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        assert!(bytes.len() > 4_000, "{}: a picture of {} bytes shows nothing", file.display(), bytes.len());
        fs::write(file, bytes).unwrap();
    }

    /// All that was asked of anybody, since the browser was started.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let requests = self.pipe.heard("Network.requestWillBeSent");
        requests.iter().map(|event| event["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What pages wanted that their policy forbids, and what the browser complained of.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let violations = self.pipe.heard("Runtime.bindingCalled").into_iter();
        let violations = violations.map(|event| event["payload"].to_string());
        let errors = self.pipe.heard("Log.entryAdded").into_iter();
        let errors = errors.filter(|event| event["entry"]["level"] == "error").map(|event| {
            let entry = &event["entry"];
            format!("{} {}", entry["text"], entry["url"])
        });
        let thrown = self.pipe.heard("Runtime.exceptionThrown").into_iter();
        violations.chain(errors).chain(thrown.map(|event| event.to_string())).collect()
    }
}
