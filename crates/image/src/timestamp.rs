//! Points in time: a file's, with nanoseconds and before 1970, and RFC 3339 text for JSON.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, possibly negative, and the nanoseconds that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Timestamp {
    /// From a decimal number of seconds such as `-12.5` (POSIX pax, `mtime`). Digits beyond
    /// nanoseconds are cut, downwards in time as for any fraction.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let mut nanoseconds = 0;
        let mut digits = fraction.bytes().chain(std::iter::repeat(b'0'));
        for _ in 0..9 {
            nanoseconds = nanoseconds * 10 + u32::from(digits.next()? - b'0');
        }
        Some(match (negative, nanoseconds) {
            (false, _) => Self {
                seconds,
                nanoseconds,
            },
            (true, 0) => Self {
                seconds: -seconds,
                nanoseconds,
            },
            (true, _) => Self {
                seconds: -seconds - 1,
                nanoseconds: 1_000_000_000 - nanoseconds,
            },
        })
    }
}

/// The time as OCI's documents have it, `2026-11-20T21:00:00Z`. Before 1970 it is 1970.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_date(seconds / 86_400);
    let rest = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// The Gregorian date of a day counted from 1970-01-01. Years start in March here, so that the
/// leap day is the last of its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn decimal_seconds() {
        let at = |seconds, nanoseconds| {
            Some(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(Timestamp::parse(b"12"), at(12, 0));
        assert_eq!(Timestamp::parse(b"12.5"), at(12, 500_000_000));
        assert_eq!(Timestamp::parse(b"-1.5"), at(-2, 500_000_000));
        assert_eq!(Timestamp::parse(b"-1"), at(-1, 0));
        assert_eq!(Timestamp::parse(b"1.0000000019"), at(1, 1));
        for wrong in [
            &b""[..],
            b"-",
            b".5",
            b"1e5",
            b"99999999999999999999",
            b"1.x",
        ] {
            assert_eq!(Timestamp::parse(wrong), None);
        }
    }

    #[test]
    fn dates() {
        let text = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(text(1_795_208_400), "2026-11-20T21:00:00Z");
    }
}
