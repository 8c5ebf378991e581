//! A person who waits is told, once, that the database does not answer yet.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use lcs_storage::postgres::NO_ANSWER_YET;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};

use crate::output::note;

/// Hears that the database does not answer, and tells the first time of it.
struct Listener<T> {
    told: AtomicBool,
    tell: T,
}

/// Tells it on standard error.
pub(super) fn listener<S: Subscriber>() -> impl Layer<S> {
    telling(note)
}

fn telling<S: Subscriber>(tell: impl Fn(&str) + Send + Sync + 'static) -> impl Layer<S> {
    Listener { told: AtomicBool::new(false), tell }
}

/// What is heard.
pub(super) fn heard() -> Targets {
    Targets::new().with_target(NO_ANSWER_YET, LevelFilter::DEBUG)
}

impl<S: Subscriber, T: Fn(&str) + Send + Sync + 'static> Layer<S> for Listener<T> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut waiting = Waiting::default();
        event.record(&mut waiting);
        let Waiting { address, left_s } = waiting;
        (self.tell)(&format!(
            "The database at {address} does not answer yet: it is tried again for up to {left_s} s. Ctrl-C gives up."
        ));
    }
}

/// Where it is waited, and for how long yet.
#[derive(Default)]
struct Waiting {
    address: String,
    left_s: u64,
}

impl Visit for Waiting {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "address" {
            value.clone_into(&mut self.address);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "left_s" {
            self.left_s = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use lcs_domain::Repositories as _;
    use lcs_storage::postgres::{Postgres, PostgresConfig};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_once_where_nobody_answers() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let telling = telling({
            let said = Arc::clone(&said);
            move |text: &str| said.lock().unwrap().push(text.to_owned())
        });
        let _subscribed = tracing::subscriber::set_default(
            tracing_subscriber::registry().with(telling.with_filter(heard())),
        );
        let config = PostgresConfig::from_url("postgres://u@127.0.0.1:1/d").unwrap();
        let config = PostgresConfig { operation_timeout: std::time::Duration::from_millis(2_500), ..config };
        let store = Postgres::connect(config).await.unwrap();
        for _ in 0..2 {
            store.ping().await.unwrap_err();
        }
        let expected = "The database at 127.0.0.1:1 does not answer yet: it is tried again for up to 1 s. Ctrl-C gives up.";
        assert_eq!(*said.lock().unwrap(), [expected]);
    }
}
