//! Moments for people.

const DAY_S: u64 = 86_400;

/// A moment in milliseconds since 1970 as `YYYY-MM-DD hh:mm:ssZ`.
pub(super) fn utc(at_ms: u64) -> String {
    let at_s = at_ms / 1_000;
    let (mut days, of_day) = (at_s / DAY_S, at_s % DAY_S);
    // The calendar repeats after 400 years, and the rest is counted.
    let mut year = 1970 + 400 * (days / 146_097);
    days %= 146_097;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// How long something holds that ends at a moment, or not at all.
pub(super) fn until(end_ms: Option<u64>) -> String {
    end_ms.map_or_else(
        || "for good".to_owned(),
        |at_ms| format!("until {}", utc(at_ms)),
    )
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_dates() {
        for (at_s, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_000_000_000, "2001-09-09 01:46:40Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (13_574_563_200, "2400-02-29 00:00:00Z"),
        ] {
            assert_eq!(utc(at_s * 1_000 + 999), text);
        }
        // Whatever a server says, there is an answer.
        assert!(utc(u64::MAX).ends_with('Z'));
    }
}
