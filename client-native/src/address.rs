//! Where the server is: one URL from the command line, two protocols behind it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;

/// A server's address, from a URL with `http`, `https`, `ws` or `wss`.
///
/// A path is kept: a server behind a reverse proxy may live below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    secure: bool,
    /// As in a URL, so IPv6 addresses stand in brackets.
    host: String,
    port: u16,
    /// Empty, or with a leading and without a trailing slash.
    path: String,
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// No scheme at all.
    #[error("`{text}` does not say how to connect; write http://{text} or https://{text}")]
    NoScheme {
        /// As given.
        text: String,
    },
    /// A scheme that nothing here speaks.
    #[error("`{scheme}:` is not supported; use http, https, ws or wss")]
    Scheme {
        /// As given.
        scheme: String,
    },
    /// Anything else that makes no sense.
    #[error(
        "`{text}` is not the URL of a server: {problem}; expected something like https://swarm.example.org"
    )]
    Malformed {
        /// As given.
        text: String,
        /// What is wrong.
        problem: String,
    },
}

impl ServerAddress {
    /// URL of a resource, for `path` with a leading slash.
    pub fn http_url(&self, path: &str) -> String {
        self.url(if self.secure { "https" } else { "http" }, path)
    }

    /// URL of the WebSocket for workers.
    pub fn socket_url(&self) -> String {
        self.url(if self.secure { "wss" } else { "ws" }, "/ws")
    }

    /// Whether TLS is used.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name or IP address without brackets, for name resolution.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}:{}{}{path}", self.host, self.port, self.path)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.http_url(""))
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = |problem: &str| AddressError::Malformed {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(AddressError::NoScheme {
                text: text.to_owned(),
            });
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => {
                return Err(AddressError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
        };
        if text.contains('#') {
            return Err(malformed("it has a fragment"));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error: http::uri::InvalidUri| malformed(&error.to_string()))?;
        if uri.query().is_some() {
            return Err(malformed("it has a query"));
        }
        let authority = uri.authority().ok_or_else(|| malformed("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(malformed("user names and passwords are not used"));
        }
        if authority.host().is_empty() {
            return Err(malformed("it has no host"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(0) => return Err(malformed("port 0 can't be connected to")),
            Some(port) => port,
            None if has_port => return Err(malformed("the port is not a number up to 65535")),
            None if secure => 443,
            None => 80,
        };
        Ok(Self {
            secure,
            host: authority.host().to_owned(),
            port,
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_all_four_schemes() {
        let cases = [
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/x",
                "ws://127.0.0.1:8080/ws",
            ),
            (
                "ws://127.0.0.1:8080/",
                "http://127.0.0.1:8080/x",
                "ws://127.0.0.1:8080/ws",
            ),
            (
                "HTTPS://swarm.example.org",
                "https://swarm.example.org:443/x",
                "wss://swarm.example.org:443/ws",
            ),
            (
                "wss://example.org/a/b/",
                "https://example.org:443/a/b/x",
                "wss://example.org:443/a/b/ws",
            ),
            ("http://[::1]:81", "http://[::1]:81/x", "ws://[::1]:81/ws"),
            (
                "http://localhost",
                "http://localhost:80/x",
                "ws://localhost:80/ws",
            ),
        ];
        for (text, http, socket) in cases {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.http_url("/x"), http);
            assert_eq!(address.socket_url(), socket);
        }
    }

    #[test]
    fn hosts_for_name_resolution_have_no_brackets() {
        let address: ServerAddress = "http://[::1]:81".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 81));
    }

    #[test]
    fn bad_urls_say_what_to_write() {
        let cases = [
            ("localhost:8080", "write http://localhost:8080 or"),
            ("", "does not say how to connect"),
            ("ftp://example.org", "`ftp:` is not supported; use http"),
            ("http://", "not the URL of a server"),
            ("http://:80", "not the URL of a server"),
            ("http://user@example.org", "user names and passwords"),
            ("http://example.org:99999", "port"),
            ("http://example.org:0", "port 0"),
            ("http://example.org/?a=b", "a query"),
            ("http://example.org/#a", "a fragment"),
            ("http://exa mple.org", "not the URL of a server"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ServerAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
