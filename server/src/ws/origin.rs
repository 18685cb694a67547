//! Which pages may connect.
//!
//! Browsers send the page's origin with a WebSocket's handshake and no page can change it; programs send
//! none. So a page of another site can't make its visitors' browsers work for this server, or act in their
//! name, unless the operator admits it.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether the handshake's origin is this server, one of the admitted ones, or absent.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    if origins.next().is_some() {
        return false;
    }
    if is_admitted(origin, allowed) {
        return true;
    }
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    // The scheme may differ: a proxy in front ends TLS.
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.is_some_and(|host| without_default_port(host, scheme).eq_ignore_ascii_case(authority))
}

/// Whether the operator admitted an origin.
pub(crate) fn is_admitted(origin: &HeaderValue, allowed: &[String]) -> bool {
    let is_same = |one: &String| {
        let one = one.trim_end_matches('/').as_bytes();
        one.eq_ignore_ascii_case(origin.as_bytes())
    };
    allowed.iter().any(is_same)
}

/// Browsers leave the scheme's own port out of origins.
fn without_default_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return host,
    };
    host.strip_suffix(default_port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_admitted_origins_pass() {
        let allowed = [
            "https://blog.example".to_owned(),
            "http://localhost:5173/".to_owned(),
        ];
        let check = |origins: &[&str], host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            for origin in origins {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            is_allowed(&headers, &allowed)
        };
        for (origins, host) in [
            (&[][..], "swarm.example"),
            (&["https://swarm.example"], "swarm.example"),
            (&["https://swarm.example"], "swarm.example:443"),
            (&["http://127.0.0.1:8080"], "127.0.0.1:8080"),
            (&["http://[::1]:8080"], "[::1]:8080"),
            (&["https://blog.example"], "swarm.example"),
            (&["http://localhost:5173"], "127.0.0.1:8080"),
        ] {
            assert!(check(origins, host), "{origins:?} at {host}");
        }
        for (origins, host) in [
            (&["https://evil.example"][..], "swarm.example"),
            (&["http://127.0.0.1:8081"], "127.0.0.1:8080"),
            (&["https://swarm.example.evil.example"], "swarm.example"),
            (&["null"], "swarm.example"),
            (
                &["https://blog.example", "https://evil.example"],
                "swarm.example",
            ),
            (&["http://swarm.example:443"], "swarm.example:80"),
        ] {
            assert!(!check(origins, host), "{origins:?} at {host}");
        }
    }
}
