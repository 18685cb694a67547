//! The one rule for names that become a part of a path, an address or an object's name.

/// Longest part: what file systems take.
pub const MAX_PATH_PART_BYTES: usize = 255;

/// Whether a name is one part of a path and means the same in a folder, in a URL and in a bucket: letters, digits, dots, dashes and
/// underscores, and no dot first.
pub fn is_path_part(part: &str) -> bool {
    (1..=MAX_PATH_PART_BYTES).contains(&part.len())
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lead_nowhere_else() {
        let longest = "a".repeat(MAX_PATH_PART_BYTES);
        for part in [
            "mnist",
            "train-images-idx3-ubyte",
            "iris.csv",
            "a_b-1",
            &longest,
        ] {
            assert!(is_path_part(part), "{part}");
        }
        let long = "a".repeat(MAX_PATH_PART_BYTES + 1);
        for part in [
            "", ".", "..", ".hidden", "a/b", "a\\b", "a b", "ä", "a\0", "a%2f", "a?b", "a#b", &long,
        ] {
            assert!(!is_path_part(part), "{part:?}");
        }
    }
}
