//! The client: configuration, timeouts, repetitions.

use std::sync::Once;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::Url;

use super::limits::{
    CONNECT_TIMEOUT, MAX_RETRIES, READ_TIMEOUT, REQUEST_TIMEOUT, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN,
    RETRY_TIMEOUT,
};
use super::{Location, ObjectStorageError};

/// Variables that say where keys come from. Without any of them the client would ask the address at which a
/// cloud's machines find theirs, and elsewhere wait for an answer that can't come.
const KEY_SOURCES: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// A client for a bucket, configured by those variables that begin with `AWS_`. Unknown ones are ignored, as
/// other programs have their own.
pub(super) fn build(
    location: &Location,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<AmazonS3, ObjectStorageError> {
    install_cryptography();
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options())
        .with_retry(retries());
    let unfit = |problem: String| ObjectStorageError::Configuration {
        url: location.to_string(),
        problem,
    };
    let mut has_keys = false;
    for (name, value) in variables {
        has_keys |= KEY_SOURCES.contains(&&*name);
        if name.starts_with("AWS_ENDPOINT") && !is_endpoint(&value) {
            return Err(unfit(format!(
                "{name} is `{value}`, which is no URL with http or https"
            )));
        }
        if name.starts_with("AWS_")
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    if !has_keys {
        return Err(unfit(format!(
            "there are no keys: none of {} is set",
            KEY_SOURCES.join(", ")
        )));
    }
    // After the variables, which may name another one.
    builder
        .with_bucket_name(&location.bucket)
        // Objects are removed one by one, with a request that every such server knows.
        .with_disable_bulk_delete(true)
        .build()
        .map_err(|error| unfit(error.to_string()))
}

/// The client would panic at its first request to anything else.
fn is_endpoint(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: RETRY_PAUSE_MIN,
            max_backoff: RETRY_PAUSE_MAX,
            base: 2.0,
        },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// TLS needs to be told whose ciphers to use; ring's, which the workspace has already.
fn install_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused where another part of the process has chosen already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}
