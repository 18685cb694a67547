//! Proxies in front of the server, and whom they speak for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};

use crate::limits::MAX_FORWARDED_BYTES;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bits of an IPv4 address within the IPv6 form of all addresses.
const V4_PREFIX_BITS: u8 = 96;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first address; those of IPv4 in their IPv6 form.
    first: Ipv6Addr,
    /// Bits that all addresses share.
    prefix_bits: u8,
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = as_v6(address).to_bits() ^ self.first.to_bits();
        differing
            .checked_shr(128 - u32::from(self.prefix_bits))
            .unwrap_or(0)
            == 0
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write an address, or a network such as 10.0.0.0/8 or fd00::/8")
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_bad| NetworkError)?;
        let (own_bits, before) = match address {
            IpAddr::V4(_) => (32, V4_PREFIX_BITS),
            IpAddr::V6(_) => (128, 0),
        };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_bad| NetworkError)?,
            None => own_bits,
        };
        if bits > own_bits {
            return Err(NetworkError);
        }
        Ok(Self {
            first: as_v6(address),
            prefix_bits: before + bits,
        })
    }
}

/// The client that a trusted peer speaks for: the last address in `X-Forwarded-For` that is no trusted proxy, since
/// each proxy appends whom it got the request from, and what is before that anybody can write. None where the header
/// says nothing that can be believed.
pub(crate) fn client(headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let values: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    if values.iter().map(|value| value.len()).sum::<usize>() > MAX_FORWARDED_BYTES {
        return None;
    }
    let entries = values.iter().flat_map(|value| value.split(','));
    for entry in entries.rev() {
        let address = entry.trim().parse::<IpAddr>().ok()?;
        if !trusted.iter().any(|network| network.contains(address)) {
            return Some(address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("10.1.2.3/8", "10.9.9.9", "9.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.8"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
        ] {
            let contains = |address: &str| network(text).contains(address.parse().unwrap());
            assert!(contains(inside) && !contains(outside), "{text}");
        }
        assert!(network("::/0").contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "proxy",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        let trusted = [network("10.0.0.0/8"), network("::1")];
        let check = |values: &[&str], expected: Option<&str>| {
            let headers: HeaderMap = values
                .iter()
                .map(|value| (FORWARDED_FOR, value.parse().unwrap()))
                .collect();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(client(&headers, &trusted), expected, "{values:?}");
        };
        check(&["192.0.2.1"], Some("192.0.2.1"));
        check(&["192.0.2.1, 10.0.0.2"], Some("192.0.2.1"));
        // What the client itself wrote comes first.
        check(&["8.8.8.8, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1"));
        check(&["8.8.8.8", "2001:db8::1,10.0.0.2"], Some("2001:db8::1"));
        for nothing in [
            "10.0.0.2",
            "",
            "unknown",
            "192.0.2.1, unknown",
            "1.2.3.4:80",
        ] {
            check(&[nothing], None);
        }
        check(&[], None);
        check(&[&"1.2.3.4,".repeat(200)], None);
    }
}
