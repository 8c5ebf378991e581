//! Traces for an OpenTelemetry collector: each request with the calls of the store that it made.
//!
//! Where they go, and how, is what `OTEL_EXPORTER_OTLP_ENDPOINT` and OpenTelemetry's other variables say. A span
//! has the fields that the log has: ids and routes, nothing that was said.

use std::env;
use std::fmt;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::endpoint;
use crate::exposed_address::exposed;

const NAME: &str = "lcs-persistence";
/// Where the collector is; without either there are no traces.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

const NO_ADDRESS: &str = "what OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT holds is no address of a \
     collector: write it like http://HOST:4318";

/// Collects the spans of this process and sends them, in a thread of its own.
pub struct Traces(SdkTracerProvider);

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    /// Traces to the collector that the environment names; `None` where it names none. To be called outside of
    /// any runtime.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the environment.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINTS.into_iter().any(is_set) {
            return Ok(None);
        }
        if let Some(variable) = exposed(env::vars_os(), &["OTEL_EXPORTER_OTLP"]) {
            return Err(format!(
                "there are credentials in the address that {variable} holds: write it without them, and give them in \
                 OTEL_EXPORTER_OTLP_HEADERS"
            ));
        }
        let failed = |error: &dyn fmt::Display| format!("traces cannot be sent: {error}");
        let tls = endpoint::tls(None).map_err(|error| failed(&error))?;
        let client = reqwest::blocking::Client::builder().tls_backend_preconfigured(tls).build();
        let client = client.map_err(|error| failed(&error.without_url()))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
        let mut resource = Resource::builder();
        if !is_set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name(NAME);
        }
        let provider = SdkTracerProvider::builder()
            // Its own sentence quotes the address.
            .with_batch_exporter(exporter.map_err(|_| failed(&NO_ADDRESS))?)
            .with_resource(resource.build())
            .build();
        Ok(Some(Self(provider)))
    }

    /// What hears the spans. Those of other programs' parts, the exporter's too, are none of ours.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(&self) -> impl Layer<S> + use<S> {
        let ours = Targets::new().with_target("lcs_", LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(self.0.tracer(NAME)).with_filter(ours)
    }

    /// Sends what is still to be sent. To be called outside of any runtime.
    pub fn finish(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(error = %error, "the last traces are not sent");
        }
    }
}

/// Has `span` go on with its caller's trace, where the request says which.
pub(crate) fn go_on(span: &Span, headers: &HeaderMap) {
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // It fails where nobody hears spans.
    let _ = span.set_parent(caller);
}
