//! A caller of one service: what it sees, and whether what was acknowledged to it is there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use lcs_tests::chaos::dice::Dice;
use lcs_tests::chaos::replica::{Failure, MARKER};
use lcs_tests::connection::{Answered, Connection};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use crate::process::{PATIENCE, Process};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DURABILITY: &str = "persistence-durability";
/// How many characters of a sentence a line shows.
const SHOWN: usize = 150;

/// What was answered to one request, and after how long.
#[derive(Debug, Clone)]
pub(super) struct Saw {
    /// `None`: the connection broke, or there was no answer in time.
    pub(super) status: Option<u16>,
    pub(super) durability: Option<String>,
    /// The first sentence of a refusal, or what the connection said.
    pub(super) sentence: String,
    pub(super) body: Value,
    pub(super) has_retry_after: bool,
    pub(super) took: Duration,
}

impl Saw {
    pub(super) fn is(&self, status: u16, durability: Option<&str>) -> bool {
        self.status == Some(status) && self.durability.as_deref() == durability
    }

    /// A new turn, or the same again, that is as durable as this.
    pub(super) fn is_stored(&self, durability: &str) -> bool {
        matches!(self.status, Some(200 | 201)) && self.durability.as_deref() == Some(durability)
    }

    /// Refused for now, with a word on when to come again.
    pub(super) fn is_unavailable(&self) -> bool {
        self.is(503, None) && self.has_retry_after
    }
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => write!(f, "no answer")?,
        }
        write!(f, " {}", self.durability.as_deref().unwrap_or("(no durability)"))?;
        if !self.sentence.is_empty() {
            write!(f, " \"{}\"", shown(&self.sentence))?;
        }
        write!(f, " after {:.1?}", self.took)
    }
}

/// A caller with one conversation.
pub(super) struct Caller<'a> {
    process: &'a Process,
    conversation: String,
    said: u64,
    /// What was acknowledged: how durable, under the turn's element.
    acknowledged: BTreeMap<u64, String>,
}

impl<'a> Caller<'a> {
    /// Begins a conversation.
    pub(super) async fn begin(process: &'a Process) -> Result<Self, Failure> {
        let mut caller =
            Self { process, conversation: String::new(), said: 0, acknowledged: BTreeMap::new() };
        let saw = caller.ask(Method::POST, "/v1/conversations", None, Some(json!({ "model_id": "x" }))).await;
        let id = saw.body.get("conversation_id").and_then(Value::as_str);
        id.ok_or_else(|| format!("no conversation is begun: {saw}"))?.clone_into(&mut caller.conversation);
        Ok(caller)
    }

    /// Says something new, of about so many bytes: its element, and what came of it.
    pub(super) async fn say(&mut self, bytes: usize) -> (u64, Saw) {
        self.said += 1;
        let element = self.said;
        let saw = self.say_again(element, bytes).await;
        (element, saw)
    }

    /// Sends what was said under its own key.
    pub(super) async fn say_again(&mut self, element: u64, bytes: usize) -> Saw {
        let path = format!("/v1/conversations/{}/turns", self.conversation);
        // Compressed, it would take no room. The same again for the same element.
        let mut dice = Dice::new(element);
        let words: Vec<String> = (0..bytes / 16).map(|_| format!("{:016x}", dice.word())).collect();
        let text = words.concat();
        let turn = json!({ "input_messages": { MARKER: element, "text": text } });
        let saw = self.ask(Method::POST, &path, Some(format!("element-{element}")), Some(turn)).await;
        if let (Some(200 | 201), Some(durability)) = (saw.status, &saw.durability) {
            self.acknowledged.insert(element, durability.clone());
        }
        saw
    }

    /// Says something until it is stored as durable: what was seen at first, and when it was stored, and after
    /// how long.
    pub(super) async fn until_durable(&mut self) -> Result<Saw, Failure> {
        let began = Instant::now();
        let (element, mut saw) = self.say(100).await;
        while !saw.is_stored("durable") {
            if began.elapsed() > PATIENCE {
                return Err(format!("it does not recover by itself: {saw}").into());
            }
            sleep(Duration::from_millis(20)).await;
            saw = self.say_again(element, 100).await;
        }
        Ok(Saw { took: began.elapsed(), ..saw })
    }

    /// Reads the first page of the conversation.
    pub(super) async fn read(&mut self) -> Saw {
        self.page(0).await
    }

    async fn page(&mut self, after: usize) -> Saw {
        let path = format!("/v1/conversations/{}/turns?limit=200&after={after}", self.conversation);
        self.ask(Method::GET, &path, None, None).await
    }

    /// How much was acknowledged as this.
    pub(super) fn acknowledged(&self, durability: &str) -> usize {
        self.acknowledged.values().filter(|said| *said == durability).count()
    }

    /// What is wrong with the conversation as it is stored now: what was acknowledged is missing, or stands
    /// there twice, or the turns are not numbered one after the other.
    pub(super) async fn faults(&mut self) -> Result<Vec<String>, Failure> {
        let mut stored = Vec::new();
        loop {
            let page = self.page(stored.len()).await;
            let turns =
                page.body.get("turns").and_then(Value::as_array).filter(|_| page.is(200, Some("durable")));
            let turns = turns.ok_or_else(|| format!("the conversation cannot be read: {page}"))?;
            if turns.is_empty() {
                break;
            }
            stored.extend(turns.iter().map(|turn| {
                let element = turn.pointer(&format!("/input_messages/{MARKER}")).and_then(Value::as_u64);
                (turn.get("turn_number").and_then(Value::as_u64), element)
            }));
        }
        let mut faults = Vec::new();
        for ((number, element), place) in stored.iter().zip(1..) {
            if *number != Some(place) {
                faults.push(format!("turn {place} is numbered {number:?}"));
            }
            if stored.iter().filter(|(_, other)| other == element).count() > 1 {
                faults.push(format!("element {element:?} is there twice"));
            }
        }
        for element in self.acknowledged.keys() {
            if !stored.iter().any(|(_, there)| *there == Some(*element)) {
                faults.push(format!("element {element} was acknowledged and is lost"));
            }
        }
        Ok(faults)
    }

    async fn ask(&mut self, method: Method, path: &str, key: Option<String>, body: Option<Value>) -> Saw {
        // A process that was started again listens elsewhere.
        let mut connection = Connection::new(self.process.address.get(), PATIENCE);
        let headers: Vec<_> = key.map(|key| (IDEMPOTENCY_KEY, key)).into_iter().collect();
        let began = Instant::now();
        let answered = connection.ask(method, path, &headers, body.as_ref()).await;
        let took = began.elapsed();
        match answered {
            Ok(answered) => {
                if answered.status >= 400 {
                    self.process.search().answer(&String::from_utf8_lossy(&answered.bytes));
                }
                seen(answered, took)
            }
            Err(broken) => Saw {
                status: None,
                durability: None,
                sentence: broken.to_string(),
                body: Value::Null,
                has_retry_after: false,
                took,
            },
        }
    }
}

fn seen(answered: Answered, took: Duration) -> Saw {
    let text = |at: &str| answered.body.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let (response, cause) = (text("/detail/response"), text("/detail/cause"));
    let sentence =
        if response.is_empty() { String::new() } else { sentence(&format!("{response}: {cause}")) };
    let durability = answered.headers.get(DURABILITY).and_then(|value| value.to_str().ok());
    Saw {
        status: Some(answered.status),
        durability: durability.map(str::to_owned),
        sentence,
        has_retry_after: answered.retry_after().is_some(),
        took,
        body: answered.body,
    }
}

/// The first sentence of a text.
pub(super) fn sentence(text: &str) -> String {
    text.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// A sentence, as far as a line shows it.
fn shown(sentence: &str) -> String {
    let mut shown: String = sentence.chars().take(SHOWN).collect();
    if shown.len() < sentence.len() {
        shown += "...";
    }
    shown
}

/// Asks for liveness all the time.
pub(super) struct Liveness {
    stop: watch::Sender<bool>,
    watching: JoinHandle<(usize, usize, Duration)>,
}

impl Liveness {
    pub(super) fn watch(process: &Process) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let address = process.address.clone();
        let watching = tokio::spawn(async move {
            let (mut alive, mut silent, mut longest) = (0, 0, Duration::ZERO);
            let mut ticks = interval(Duration::from_millis(50));
            loop {
                tokio::select! {
                    _ = stopped.changed() => return (alive, silent, longest),
                    _ = ticks.tick() => {}
                }
                let began = Instant::now();
                let mut connection = Connection::new(address.get(), Duration::from_secs(5));
                match connection.ask(Method::GET, "/liveness", &[], None).await {
                    Ok(answered) if answered.status == 200 => alive += 1,
                    _ => silent += 1,
                }
                longest = longest.max(began.elapsed());
            }
        });
        Self { stop, watching }
    }

    /// How often it was not alive, and all of it in words.
    pub(super) async fn end(self) -> Result<(usize, String), Failure> {
        self.stop.send_replace(true);
        let (alive, silent, longest) = self.watching.await?;
        if alive == 0 {
            return Err("liveness was never asked for".into());
        }
        Ok((silent, format!("liveness 200 {alive} times, else {silent}, within {longest:.0?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_first_sentence() {
        assert_eq!(sentence("one: two. Three."), "one: two");
        assert_eq!(sentence("at 127.0.0.1:5432."), "at 127.0.0.1:5432");
        assert_eq!(shown("one: two"), "one: two");
        assert_eq!(shown(&"x".repeat(1_000)).len(), SHOWN + 3);
    }

    #[test]
    fn a_refusal_without_a_word_on_when_to_come_again_is_not_unavailable() {
        let saw = Saw {
            status: Some(503),
            durability: None,
            sentence: "Too busy".into(),
            body: Value::Null,
            has_retry_after: true,
            took: Duration::from_millis(12),
        };
        assert!(saw.is_unavailable());
        assert_eq!(saw.to_string(), "503 (no durability) \"Too busy\" after 12.0ms");
        assert!(!Saw { has_retry_after: false, ..saw.clone() }.is_unavailable());
        assert!(!Saw { durability: Some("durable".into()), ..saw }.is_unavailable());
    }
}
