//! Numbers for people.

/// Digits in groups of three: `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate: whole numbers from ten on, one decimal below.
pub(crate) fn rate(per_s: f64) -> String {
    if per_s < 10.0 {
        return format!("{:.1}", per_s.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, not negative"
    )]
    let whole = per_s.round() as u64;
    thousands(whole)
}

/// A number of things: `1 update`, `2 updates`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ];
        for (number, expected) in cases {
            assert_eq!(thousands(number), expected);
        }
    }

    #[test]
    fn rates_are_short() {
        let cases = [
            (0.0, "0.0"),
            (9.87, "9.9"),
            (10.2, "10"),
            (98_765.4, "98,765"),
            (-1.0, "0.0"),
        ];
        for (per_s, expected) in cases {
            assert_eq!(rate(per_s), expected);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "update"), "1 update");
        assert_eq!(count(1_000, "update"), "1,000 updates");
    }
}
