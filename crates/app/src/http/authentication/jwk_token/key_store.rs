//! The keys that are known now: read where they are published, kept, and read again when they may have changed.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use super::key_set::KeySet;
use crate::configuration::JwkSource;

/// How often the keys are read at most, however many tokens name keys that are not known.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// After how long the keys are read again though all are known: one may have been withdrawn.
pub(super) const MAX_AGE: Duration = Duration::from_mins(10);
/// How long reading them may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How large a key set may be, in bytes.
const MAX_BYTES: usize = 1_048_576;

/// Keeps the keys of one source.
#[derive(Debug)]
pub(super) struct KeyStore {
    source: Source,
    state: Mutex<State>,
    /// Held while the keys are read: many who need them at once read them once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Url(Client, Url),
    File(std::path::PathBuf),
}

/// What is known.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The keys, once they could be read.
    pub(super) keys: Option<Arc<KeySet>>,
    /// When they were last read, or were tried to.
    tried: Option<Instant>,
    /// Whether that failed: then a key that is not known may be there all the same.
    pub(super) failed: bool,
}

impl State {
    fn is_older_than(&self, age: Duration) -> bool {
        self.tried.is_none_or(|tried| tried.elapsed() >= age)
    }
}

impl KeyStore {
    /// The keys of a file are read now; those behind a URL when they are first needed, so that the service
    /// starts also while their server is down.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(super) fn new(source: &JwkSource) -> Result<Self, String> {
        let (source, state) = match source {
            JwkSource::File(path) => {
                let keys = read_file(path).map_err(|why| {
                    format!("persistence.authentication.jwk_file: {} cannot be used: {why}", path.display())
                })?;
                let tried = Some(Instant::now());
                (Source::File(path.clone()), State { keys: Some(Arc::new(keys)), tried, failed: false })
            }
            JwkSource::Url(url) => (Source::Url(client()?, url.clone()), State::default()),
        };
        Ok(Self { source, state: Mutex::new(state), reading: tokio::sync::Mutex::default() })
    }

    /// The keys, read anew where they are old. Who comes while they are being read takes the old ones.
    pub(super) async fn current(&self) -> State {
        let state = self.state();
        if !state.is_older_than(MAX_AGE) {
            return state;
        }
        if state.keys.is_none() {
            return self.renewed().await;
        }
        match self.reading.try_lock() {
            Ok(_reading) => self.read().await,
            Err(_) => state,
        }
    }

    /// The keys, read anew unless they just were.
    pub(super) async fn renewed(&self) -> State {
        let _reading = self.reading.lock().await;
        let state = self.state();
        if state.is_older_than(PAUSE) { self.read().await } else { state }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys. Those that are known stay where that fails: who publishes them may be down.
    async fn read(&self) -> State {
        let read = match &self.source {
            Source::File(path) => read_file(path),
            Source::Url(client, url) => fetch(client, url).await,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tried = Some(Instant::now());
        state.failed = read.is_err();
        match read {
            Ok(keys) => state.keys = Some(Arc::new(keys)),
            Err(why) => tracing::warn!(why, "the keys of the tokens cannot be read"),
        }
        state.clone()
    }
}

fn read_file(path: &std::path::Path) -> Result<KeySet, String> {
    let json = fs::read(path).map_err(|error| format!("it cannot be read ({})", error.kind()))?;
    Ok(KeySet::parse(&json)?)
}

async fn fetch(client: &Client, url: &Url) -> Result<KeySet, String> {
    // A client's error may quote the whole URL; what kind it is, is enough.
    let failed = |error: &reqwest::Error| match () {
        () if error.is_timeout() => "their server does not answer in time".to_owned(),
        () if error.is_connect() => "their server cannot be reached".to_owned(),
        () => "their server's answer is cut off or malformed".to_owned(),
    };
    let mut response = client.get(url.clone()).send().await.map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(format!("their server answers with status {}", response.status().as_u16()));
    }
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        json.extend_from_slice(&chunk);
        if json.len() > MAX_BYTES {
            return Err(format!("their server's answer is over {MAX_BYTES} bytes"));
        }
    }
    Ok(KeySet::parse(&json)?)
}

/// A client of its own with the platform's certificates. It follows no redirect: the keys come from where the
/// operator says, and from nowhere else.
fn client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "no TLS version can be used")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|_| "the client that reads the tokens' keys cannot be made".into())
}
