//! `s3://bucket/prefix`: where objects are.

use std::fmt;

use tabswarm_model::path_part::is_path_part;

use super::ObjectStorageError;
use super::limits::{MAX_NAME_BYTES, MAX_PREFIX_BYTES};

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The bucket.
    pub(super) bucket: String,
    /// Without slashes at its ends; may be empty.
    pub(super) prefix: String,
}

impl Location {
    /// Parses `s3://bucket` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// [`ObjectStorageError::Url`].
    pub(crate) fn parse(url: &str) -> Result<Self, ObjectStorageError> {
        let unfit = |problem: &str| ObjectStorageError::Url {
            url: url.to_owned(),
            problem: problem.to_owned(),
        };
        let rest = url
            .strip_prefix("s3://")
            .ok_or_else(|| unfit("it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|byte| fits_bucket(byte) || b".-".contains(&byte))
            && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
            && bucket.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !is_bucket {
            return Err(unfit(
                "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(unfit("the prefix is too long"));
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_name) {
            return Err(unfit(
                "the parts of a prefix have letters, digits, dots, hyphens and underscores, and don't begin with a dot",
            ));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// A place below this one.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub(crate) fn below(&self, part: &str) -> Result<Self, ObjectStorageError> {
        Self::parse(&format!("{self}/{part}"))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

/// Whether an object may be called so: such names mean the same in a URL, in a folder and in a request.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && is_path_part(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_back_as_they_were() {
        for (url, bucket, prefix) in [
            ("s3://abc", "abc", ""),
            ("s3://a.b-3/runs", "a.b-3", "runs"),
            ("s3://abc/one/Two_2.x", "abc", "one/Two_2.x"),
        ] {
            let location = Location::parse(url).unwrap();
            assert_eq!((&*location.bucket, &*location.prefix), (bucket, prefix));
            assert_eq!(location.to_string(), url);
            assert_eq!(Location::parse(&format!("{url}/")).unwrap(), location);
        }
        let below = Location::parse("s3://abc").unwrap().below("runs").unwrap();
        assert_eq!(below.to_string(), "s3://abc/runs");
        assert!(below.below("../x").is_err());
    }

    #[test]
    fn unfit_urls_are_refused_with_the_reason() {
        let long = format!("s3://abc/{}", "x/".repeat(300));
        for (url, reason) in [
            ("", "s3://"),
            ("gs://abc", "s3://"),
            ("s3://", "bucket"),
            ("s3://ab", "bucket"),
            ("s3://Abc", "bucket"),
            ("s3://-abc", "bucket"),
            ("s3://user:secret@abc", "bucket"),
            ("s3://abc//x", "prefix"),
            ("s3://abc/../x", "prefix"),
            ("s3://abc/x?y", "prefix"),
            ("s3://abc/é", "prefix"),
            (&long, "too long"),
        ] {
            let error = Location::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
