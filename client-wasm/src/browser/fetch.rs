//! Requests for immutable data, answered from the Cache API where it has them.
//!
//! Each data set has a cache of its own, and only the last few data sets are kept. Where there is no Cache
//! API (a page without HTTPS that is not on this machine) or no room, everything comes over the network.

use js_sys::futures::JsFuture;
use js_sys::{ArrayBuffer, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{
    AbortSignal, Cache, CacheStorage, DedicatedWorkerGlobalScope, RequestCache, RequestInit,
    Response,
};

use crate::driver::{FETCH_TIMEOUT_MS, Fetched, Job, Target};

/// Caches of data sets have names that begin so.
const CACHE_PREFIX: &str = "tabswarm-data-";
/// Data sets whose chunks are kept.
const MAX_CACHED_DATASETS: usize = 3;

/// Fetches what a job names.
///
/// # Errors
/// A sentence where it does not come.
pub(super) async fn fetch(
    scope: DedicatedWorkerGlobalScope,
    job: Job,
    url: String,
) -> Result<Fetched, String> {
    let cache_name = format!("{CACHE_PREFIX}{}", job.dataset);
    let cache = open_cache(&scope, &cache_name).await;
    // What a cache gave the first time may be what failed the check.
    let is_retry = job.failures > 0;
    if let Some(cache) = cache.as_ref().filter(|_| !is_retry)
        && let Some(response) = cached(cache, &url).await
    {
        let bytes = body(&response).await?;
        return Ok(Fetched {
            bytes,
            network_bytes: 0,
        });
    }
    let response = request(&scope, &url, is_retry).await?;
    if let Some(cache) = cache {
        store(&cache, &url, &response);
        if job.target == Target::Manifest {
            forget_old_datasets(&scope, &cache_name).await;
        }
    }
    let announced = response.headers().get("content-length").ok().flatten();
    let bytes = body(&response).await?;
    let network_bytes = announced.and_then(|text| text.parse().ok());
    Ok(Fetched {
        network_bytes: network_bytes.unwrap_or(bytes.len() as u64),
        bytes,
    })
}

async fn request(
    scope: &DedicatedWorkerGlobalScope,
    url: &str,
    is_retry: bool,
) -> Result<Response, String> {
    let init = RequestInit::new();
    if is_retry {
        init.set_cache(RequestCache::Reload);
    }
    if let Some(signal) = timeout() {
        init.set_signal(Some(&signal));
    }
    let response = JsFuture::from(scope.fetch_with_str_and_init(url, &init)).await;
    let response = response.map_err(|error| unreachable_server(&error))?;
    let response: Response = response
        .dyn_into()
        .map_err(|error| unreachable_server(&error))?;
    if response.ok() {
        return Ok(response);
    }
    Err(format!(
        "The server does not have the training data: it answered {} to {url}.",
        response.status()
    ))
}

async fn body(response: &Response) -> Result<Vec<u8>, String> {
    let buffer = response
        .array_buffer()
        .map_err(|error| unreachable_server(&error))?;
    let buffer = JsFuture::from(buffer)
        .await
        .map_err(|error| unreachable_server(&error))?;
    Ok(Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>()).to_vec())
}

fn unreachable_server(error: &JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(js_sys::Error::message);
    let message = message.map_or_else(String::new, |message| {
        format!(" ({})", String::from(message))
    });
    format!("The training data can't be fetched from the server.{message}")
}

/// Ends a request that takes too long; the oldest supported browsers lack it and wait.
fn timeout() -> Option<AbortSignal> {
    let class = Reflect::get(&js_sys::global(), &"AbortSignal".into()).ok()?;
    let has_timeout = Reflect::has(&class, &"timeout".into()).ok()?;
    has_timeout.then(|| AbortSignal::timeout_with_u32(FETCH_TIMEOUT_MS))
}

fn cache_storage(scope: &DedicatedWorkerGlobalScope) -> Option<CacheStorage> {
    scope.caches().ok().filter(|caches| !caches.is_undefined())
}

async fn open_cache(scope: &DedicatedWorkerGlobalScope, name: &str) -> Option<Cache> {
    settled(cache_storage(scope)?.open(name))
        .await?
        .dyn_into()
        .ok()
}

async fn cached(cache: &Cache, url: &str) -> Option<Response> {
    settled(cache.match_with_str(url)).await?.dyn_into().ok()
}

/// Puts a copy into the cache, without waiting for it.
fn store(cache: &Cache, url: &str, response: &Response) {
    if let Ok(copy) = response.clone() {
        let stored = settled(cache.put_with_str(url, &copy));
        js_sys::futures::spawn_local(async move {
            // Without room for it the next session fetches it again.
            stored.await;
        });
    }
}

/// Names come in the order in which caches were made.
async fn forget_old_datasets(scope: &DedicatedWorkerGlobalScope, current: &str) {
    let Some(caches) = cache_storage(scope) else {
        return;
    };
    let names = settled(caches.keys())
        .await
        .map(|names| js_sys::Array::from(&names));
    let names = names
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_string());
    let others: Vec<String> = names
        .filter(|name| name.starts_with(CACHE_PREFIX) && name != current)
        .collect();
    let surplus = (others.len() + 1).saturating_sub(MAX_CACHED_DATASETS);
    for name in &others[..surplus.min(others.len())] {
        settled(caches.delete(name)).await;
    }
}

/// What a promise of the Cache API gave; nothing where it failed, as if there were no cache.
async fn settled(promise: Promise) -> Option<JsValue> {
    JsFuture::from(promise).await.ok()
}
