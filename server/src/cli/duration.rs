//! Lengths of time as people write them.

/// Seconds of a unit.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// Seconds of a length such as `90m`, `12h` or `30d`.
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    let refused = || {
        format!(
            "{text:?} is no length of time: write a number and a unit, such as 45s, 90m, 12h or 30d"
        )
    };
    let unit = text.chars().last().ok_or_else(refused)?;
    let (_, seconds) = UNITS
        .into_iter()
        .find(|(letter, _)| *letter == unit)
        .ok_or_else(refused)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_wrong| refused())?;
    number
        .checked_mul(seconds)
        .filter(|all| *all > 0)
        .ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_a_number_and_a_unit() {
        for (text, seconds) in [
            ("45s", 45),
            ("90m", 5_400),
            ("12h", 43_200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds));
        }
        for wrong in [
            "",
            "s",
            "5",
            "5w",
            "-5m",
            "1.5h",
            "0d",
            "5µ",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
