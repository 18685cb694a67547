//! The accept loop: hyper with the limits that a public listener needs.
//!
//! Heads must arrive in time, the number of connections is bounded in all and per address, and at the end
//! open connections finish the request that they are at.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tower_service::Service as _;
use tracing::{debug, warn};

use crate::limits::{HEADER_READ_TIMEOUT, MAX_HEAD_BYTES};
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::proxies::{self, Network};
use crate::tls::Tls;

/// A pause after an error of `accept`: most often the process has no more file descriptors.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(200);

/// What one listener needs.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Bound.
    pub(crate) socket: TcpListener,
    /// None for plain HTTP.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Peers that say themselves whom they speak for.
    pub(crate) trusted_proxies: Arc<[Network]>,
    /// Most open connections.
    pub(crate) max_connections: usize,
    /// Most open connections of one address.
    pub(crate) max_per_address: usize,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// True when it is time to end.
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Held by every connection.
    pub(crate) alive: mpsc::Sender<()>,
}

/// One connection's place among the allowed ones; an upgraded socket takes it along.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    address: Option<IpAddr>,
    addresses: Arc<Addresses>,
    _within: Within,
}

/// What a place is a part of.
#[derive(Debug)]
enum Within {
    /// All connections of the listener.
    Listener { _permit: OwnedSemaphorePermit },
    /// A trusted proxy's connection, on which this is one client's request.
    Connection { _guard: Arc<ConnectionGuard> },
}

impl ConnectionGuard {
    /// A client's place on this connection of a trusted proxy; none if its address has too many.
    fn place_of_client(
        self: &Arc<Self>,
        headers: &HeaderMap,
        proxies: &[Network],
    ) -> Option<Arc<Self>> {
        let address = proxies::client(headers, proxies).and_then(counted);
        let is_over = |address| !self.addresses.enter(address);
        if address.is_some_and(is_over) {
            return None;
        }
        Some(Arc::new(Self {
            address,
            addresses: Arc::clone(&self.addresses),
            _within: Within::Connection {
                _guard: Arc::clone(self),
            },
        }))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.addresses.leave(address);
        }
    }
}

#[derive(Debug)]
struct Addresses {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
        }
    }

    fn enter(&self, address: IpAddr) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        let admitted = *count < self.max;
        if admitted {
            *count += 1;
        }
        admitted
    }

    fn leave(&self, address: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

/// What counts as one address: none for the loopback, which a proxy may use for everybody; the network of
/// an IPv6 address, since one household has 2^64 of them.
fn counted(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))),
    }
}

fn is_any(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

fn too_many() -> Problem {
    let detail =
        "There are too many connections from your address; close some, or try again later.";
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, Code::TooManyConnections, detail)
}

/// Accepts and serves until told to end.
pub(crate) async fn accept(mut this: Listener, router: Router) {
    let slots = Arc::new(Semaphore::new(this.max_connections));
    let addresses = Arc::new(Addresses::new(this.max_per_address));
    loop {
        let next = async {
            // Before accepting: what is over the limit waits in the system's queue.
            let permit = Arc::clone(&slots)
                .acquire_owned()
                .await
                .expect("it is never closed");
            (permit, this.socket.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = ends(&mut this.shutdown) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let is_proxy = is_any(&this.trusted_proxies, peer.ip());
                let address = counted(peer.ip()).filter(|_| !is_proxy);
                if address.is_some_and(|address| !addresses.enter(address)) {
                    this.metrics.connections_refused.add(1);
                    debug!(%peer, "connection over the limit of its address");
                    continue;
                }
                let addresses = Arc::clone(&addresses);
                let guard = Arc::new(ConnectionGuard {
                    address,
                    addresses,
                    _within: Within::Listener { _permit: permit },
                });
                let connection = Connection {
                    guard,
                    peer,
                    proxies: is_proxy.then(|| Arc::clone(&this.trusted_proxies)),
                    metrics: Arc::clone(&this.metrics),
                    shutdown: this.shutdown.clone(),
                    _alive: this.alive.clone(),
                };
                tokio::spawn(connection.serve(stream, this.tls.clone(), router.clone()));
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

struct Connection {
    guard: Arc<ConnectionGuard>,
    peer: SocketAddr,
    /// All trusted ones, where the peer is one.
    proxies: Option<Arc<[Network]>>,
    metrics: Arc<Metrics>,
    shutdown: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Arc<Tls>>, router: Router) {
        // Small messages must not wait for more.
        drop(stream.set_nodelay(true));
        let Some(tls) = tls else {
            return self.speak(stream, router).await;
        };
        match tls.accept(stream).await {
            Ok(stream) => self.speak(stream, router).await,
            Err(error) => debug!(peer = %self.peer, %error, "no TLS"),
        }
    }

    async fn speak<S>(mut self, stream: S, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (guard, proxies, metrics) = (self.guard, self.proxies, self.metrics);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let place = match &proxies {
                None => Some(Arc::clone(&guard)),
                Some(proxies) => guard.place_of_client(request.headers(), proxies),
            };
            let answer = place.map(|place| {
                request.extensions_mut().insert(place);
                router.clone().call(request)
            });
            if answer.is_none() {
                metrics.connections_refused.add(1);
            }
            async {
                match answer {
                    Some(answer) => answer.await,
                    None => Ok(too_many().into_response()),
                }
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = ends(&mut self.shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(peer = %self.peer, %error, "connection broke");
        }
    }
}

/// Waits until it is time to end; a server that is gone without saying so has ended too.
async fn ends(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|ends| *ends).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_by_household() {
        let counted = |text: &str| counted(text.parse().unwrap());
        assert_eq!(counted("127.0.0.1"), None);
        assert_eq!(counted("::1"), None);
        assert_eq!(counted("::ffff:192.0.2.7"), counted("192.0.2.7"));
        assert_eq!(counted("2001:db8:1:2:3::4"), counted("2001:db8:1:2:ffff::"));
        assert_ne!(counted("2001:db8:1:2::"), counted("2001:db8:1:3::"));
    }

    #[test]
    fn an_address_has_so_many_places() {
        let addresses = Addresses::new(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert!(addresses.enter(one) && addresses.enter(one) && !addresses.enter(one));
        assert!(addresses.enter(other));
        addresses.leave(one);
        assert!(addresses.enter(one));
        addresses.leave(other);
        assert_eq!(addresses.open.lock().unwrap().len(), 1);
    }
}
