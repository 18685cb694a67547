//! Requests that make no sense, to every route of the OpenAPI document.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::matrix::{BAN, Bed, TOKEN};
use crate::support::{Site, run_toml};

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // Xorshift, as in Marsaglia, "Xorshift RNGs", 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let idx = self.below(all.len());
        &all[idx]
    }
}

const WORDS: [&str; 14] = [
    "digits",
    "0",
    "1",
    "-1",
    "w1",
    "18446744073709551616",
    "..%2f..%2fadmin-token",
    "%00",
    "%ff",
    "%2e%2e",
    "a%20b",
    "%F0%9F%98%80",
    "iris",
    "0000000000000000000000000000000000000000000000000000000000000000",
];
const QUERIES: [&str; 10] = [
    "",
    "?limit=1",
    "?limit=-1",
    "?after=99999999999999999999",
    "?run=digits",
    "?run=%00",
    "?start=true",
    "?to=0",
    "?name=other&at=0",
    "?x",
];
const VALUES: [&str; 10] = [
    "null",
    "-1",
    "1e999",
    "[]",
    "{}",
    "\"\"",
    "true",
    "\"read\"",
    "18446744073709551615",
    "\"\\u0000\"",
];

/// A body of random bytes, a valid one with mistakes, or JSON of the right keys and wrong values.
fn nonsense(dice: &mut Dice, valid: &str) -> Vec<u8> {
    match dice.below(4) {
        0 => {
            let len = dice.below(200);
            (0..len).map(|_| dice.next().to_le_bytes()[0]).collect()
        }
        1 => {
            let mut bytes = valid.as_bytes().to_vec();
            for _ in 0..=dice.below(4) {
                if !bytes.is_empty() {
                    let at = dice.below(bytes.len());
                    bytes[at] = dice.next().to_le_bytes()[0];
                }
            }
            bytes
        }
        2 => {
            let keep = dice.below(valid.len() + 1);
            let twice = format!(
                "{}{}",
                String::from_utf8_lossy(&valid.as_bytes()[..keep]),
                dice.pick(&VALUES)
            );
            twice.into_bytes()
        }
        _ => {
            let keys = ["label", "scope", "expires_in_s", "reason", "lasts_s", "x"];
            let mut pairs = Vec::new();
            for key in keys {
                if dice.below(2) == 0 {
                    pairs.push(format!("\"{key}\":{}", dice.pick(&VALUES)));
                }
            }
            format!("{{{}}}", pairs.join(",")).into_bytes()
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(1)))
        .build();
    config.into()
}

/// Sends so many requests over few connections; the statuses that came, with how often.
fn fuzz(
    address: SocketAddr,
    token: &str,
    routes: &[(String, String)],
    n_requests: usize,
) -> BTreeMap<u16, usize> {
    let mut agent = agent();
    let mut dice = Dice(0x5eed_5eed_5eed_5eed);
    let valid = [run_toml("digits", ""), TOKEN.to_owned(), BAN.to_owned()];
    let mut statuses = BTreeMap::new();
    for number in 0..n_requests {
        let (method, path) = dice.pick(routes).clone();
        let parts: Vec<String> = path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    dice.pick(&WORDS).to_string()
                } else {
                    part.to_owned()
                }
            })
            .collect();
        let query = if dice.below(2) == 0 {
            dice.pick(&QUERIES)
        } else {
            ""
        };
        let uri = format!("http://{address}{}{query}", parts.join("/"));
        let body = nonsense(&mut dice, &valid[number % valid.len()].clone());
        let mut request = ureq::http::Request::builder()
            .method(method.as_str())
            .uri(&uri)
            .header("authorization", format!("Bearer {token}"));
        if dice.below(10) == 0 {
            request = request.header("idempotency-key", *dice.pick(&["a", "b", "a b", ""]));
        }
        let sent = if method == "GET" { Vec::new() } else { body };
        let request = request.body(sent).unwrap();
        let answer = agent.run(request.clone()).or_else(|_closed| {
            // The server ends a connection whose last body it had no use for. On a fresh one there is always an answer.
            agent = self::agent();
            agent.run(request)
        });
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {uri}: {error}"));
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        assert!(
            status < 500,
            "request {number}, {method} {uri}: {status} {text}"
        );
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_never_the_servers_fault() {
    const REQUESTS: usize = 2_000;
    let site = Site::new("fuzz");
    let bed = Bed::new(&site).await;
    bed.server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    let routes: Vec<(String, String)> = bed
        .operations
        .iter()
        // It has no end.
        .filter(|(id, _)| *id != "stream_events")
        .map(|(_, operation)| (operation.method.clone(), operation.path.clone()))
        .collect();
    let (address, token) = (
        bed.address(),
        bed.server.handle.admin_token.reveal().to_owned(),
    );
    let fuzzed = tokio::task::spawn_blocking(move || fuzz(address, &token, &routes, REQUESTS));
    let statuses = fuzzed.await.unwrap();
    assert_eq!(statuses.values().sum::<usize>(), REQUESTS);
    // They got beyond the first check.
    for status in [200, 400, 404, 409, 422] {
        assert!(
            statuses.contains_key(&status),
            "no {status} among {statuses:?}"
        );
    }
    // It goes on.
    assert_eq!(
        bed.server.admin("GET", "/admin/health", "").await.json()["status"],
        "ok"
    );
    bed.server.stop().await;
    let left = std::fs::read_dir(site.data_dir().join("uploads"));
    let leftovers = left.into_iter().flatten().map(Result::unwrap);
    let names: Vec<_> = leftovers
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}
