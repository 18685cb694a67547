//! Just enough HTTP to talk to our own server on the loopback interface.
//!
//! HTTP/1.0 with one request a connection: the answer ends where the connection does, so
//! there are no chunks to decode. Never for anything but 127.0.0.1.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Longest wait for the server to take bytes or to answer a question.
const QUESTION: Duration = Duration::from_secs(10);
/// Longest wait for an order to be carried out: creating a run cuts its data set into chunks
/// and compresses them.
const ORDER: Duration = Duration::from_mins(5);
/// Answers are small JSON documents; more than this is a mistake.
const RESPONSE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One listener of our server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    /// Talks to `port` on this machine, as an administrator if a token is given.
    pub(crate) fn new(port: u16, token: Option<String>) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            token,
        }
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Result<Response> {
        self.exchange("GET", path, "", "")
    }

    /// `POST path` with a body.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &str) -> Result<Response> {
        self.exchange("POST", path, content_type, body)
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Result<Response> {
        let address = self.address;
        let patience = if method == "POST" { ORDER } else { QUESTION };
        let failed = || format!("{method} http://{address}{path}");
        let mut head = vec![
            format!("{method} {path} HTTP/1.0"),
            format!("Host: {address}"),
            "Accept: application/json".to_owned(),
        ];
        if let Some(token) = &self.token {
            head.push(format!("Authorization: Bearer {token}"));
        }
        if method == "POST" {
            head.push(format!("Content-Type: {content_type}"));
            head.push(format!("Content-Length: {}", body.len()));
        }
        let request = format!("{}\r\n\r\n{body}", head.join("\r\n"));
        let mut stream = TcpStream::connect_timeout(&address, QUESTION).with_context(failed)?;
        stream
            .set_read_timeout(Some(patience))
            .with_context(failed)?;
        stream
            .set_write_timeout(Some(QUESTION))
            .with_context(failed)?;
        stream.write_all(request.as_bytes()).with_context(failed)?;
        let mut answer = Vec::new();
        stream
            .take(RESPONSE_BYTES_MAX)
            .read_to_end(&mut answer)
            .with_context(failed)?;
        Response::parse(&answer).with_context(failed)
    }
}

impl Response {
    fn parse(answer: &[u8]) -> Result<Self> {
        let answer = std::str::from_utf8(answer).context("the answer is not UTF-8")?;
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            bail!("the answer has no end of headers");
        };
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let Some(status) = status.filter(|_| head.starts_with("HTTP/1.")) else {
            bail!("the answer is not HTTP");
        };
        Ok(Self {
            status,
            body: body.to_owned(),
        })
    }

    /// The body of a successful answer; anything else is an error that quotes the server.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        if !(200..300).contains(&self.status) {
            bail!(
                "the server answered {}: {}",
                self.status,
                self.body.trim_end()
            );
        }
        serde_json::from_str(&self.body).context("the server's answer is not JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let response = Response::parse(b"HTTP/1.1 201 Created\r\na: b\r\n\r\n{\"x\":1}").unwrap();
        assert_eq!(response.status, 201);
        assert_eq!(response.json().unwrap()["x"], 1);
    }

    #[test]
    fn refusals_quote_the_server() {
        let response = Response::parse(b"HTTP/1.0 404 Not Found\r\n\r\nno such run\n").unwrap();
        let message = response.json().unwrap_err().to_string();
        assert_eq!(message, "the server answered 404: no such run");
    }

    #[test]
    fn other_protocols_are_refused() {
        assert!(Response::parse(b"SSH-2.0-x 200\r\n\r\n").is_err());
        assert!(Response::parse(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
