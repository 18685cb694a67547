//! Who is behind a run: texts that strangers read and a link that they follow.

use super::super::raw::RawAbout;
use super::Check;

/// Longest link.
const MAX_LINK_CHARS: usize = 300;

impl Check {
    pub(super) fn about(&mut self, raw: &RawAbout) {
        self.text("about.owner", &raw.owner, 120);
        self.text("about.license", &raw.license, 120);
        let holds = raw.link.is_empty() || is_link(&raw.link);
        let problem = format!("{:?} is not a link", raw.link);
        let remedy = format!(
            "write https:// and an address of printable ASCII characters, {MAX_LINK_CHARS} in all at most"
        );
        self.require(holds, "about.link", problem, &remedy);
    }
}

/// Nothing but `https`: the page puts it into an anchor, where other schemes run scripts. Nobody's name goes
/// before the host, where it would pass for one.
fn is_link(link: &str) -> bool {
    let Some(rest) = link.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    link.len() <= MAX_LINK_CHARS
        && link.bytes().all(is_plain)
        && host.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && host.bytes().all(of_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_https_addresses_are_links() {
        for link in [
            "https://example.org",
            "https://example.org:8443/a/b?c=d#e",
            "https://[2001:db8::1]/",
        ] {
            assert!(is_link(link), "{link}");
        }
        let long = format!("https://example.org/{}", "a".repeat(MAX_LINK_CHARS));
        for link in [
            "http://example.org",
            "javascript:alert(1)",
            "HTTPS://example.org",
            "https://",
            "https:///path",
            "https://exa mple.org",
            "https://example.org/\"onclick=",
            "https://example.org@evil.example",
            "https://ex\u{e4}mple.org",
            "https://example.org/\n",
            long.as_str(),
        ] {
            assert!(!is_link(link), "{link}");
        }
    }
}
