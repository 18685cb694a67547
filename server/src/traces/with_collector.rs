//! Sending: a bounded queue, a thread that empties it, and a client for plain HTTP.

use std::pin::Pin;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;

use super::{Collector, Spans, TARGET};

/// Spans that wait for the collector; more are dropped, so that a slow one costs no more than this memory.
const QUEUE_SPANS: usize = 4_096;
/// Most spans of one request.
const BATCH_SPANS: usize = 512;
/// They are sent so often.
const INTERVAL: Duration = Duration::from_secs(2);
/// A collector that does not answer for so long is given up until the next time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends spans until it is dropped, and what waits then.
#[derive(Debug)]
pub(crate) struct Sending(SdkTracerProvider);

impl Drop for Sending {
    fn drop(&mut self) {
        // A collector that is not there has been complained about already.
        drop(self.0.shutdown_with_timeout(PATIENCE));
    }
}

/// What hands spans over, and what sends them.
pub(crate) fn start(collector: &Collector) -> Result<(Spans, Sending), String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(collector.url.of_traces())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| format!("traces can't be sent: {error}"))?;
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS)
        .with_max_export_batch_size(BATCH_SPANS)
        .with_scheduled_delay(INTERVAL)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(queue)
        .build();
    let ratio = Sampler::TraceIdRatioBased(collector.ratio);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(Resource::builder().with_service_name("tabswarm").build())
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("tabswarm"))
        .with_filter(Targets::new().with_target(TARGET, Level::DEBUG))
        .boxed();
    Ok((spans, Sending(provider)))
}

/// Called on the sending thread only, which may wait.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self(config.into())
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        // The agent bounds it.
        let body = body.read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'future>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'a: 'future,
        Self: 'future,
    {
        Box::pin(async move { self.send(request) })
    }
}
