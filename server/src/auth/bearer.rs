//! The one place that reads a secret from a request.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// No token is longer.
const MAX_TOKEN_BYTES: usize = 256;

/// The secret of `Authorization: Bearer SECRET` (RFC 6750), or none where there is no such header, more than one,
/// another scheme, or something that is no token. Cookies are never looked at.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    // More than one space may stand between them, and servers drop those at the end.
    let token = token.trim_matches(' ');
    let fits = (1..=MAX_TOKEN_BYTES).contains(&token.len());
    let is_token = fits && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(ToOwned::to_owned)
    }

    #[test]
    fn one_header_with_one_token_is_read() {
        for right in [
            "Bearer 0123456789abcdef",
            "bearer  0123456789abcdef",
            "BEARER 0123456789abcdef ",
        ] {
            assert_eq!(
                read(&[right]).as_deref(),
                Some("0123456789abcdef"),
                "{right}"
            );
        }
    }

    #[test]
    fn everything_else_is_no_token() {
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123 4567"],
            &["Bearer\t0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
            &[&long],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
