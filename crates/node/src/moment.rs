//! Points in time as people write them for `--since` and `--until`, and as output prints them.
//!
//! Nanoseconds since 1970 in an `i64`, which reaches to the year 2262. Text without an offset is
//! UTC: the host's time zone is a file of the C library, which a static binary does not read.

use std::time::{SystemTime, UNIX_EPOCH};

use insula_container::error::{Error, Result};

use crate::oci::time::civil;

const SECOND: i64 = 1_000_000_000;

/// How long the text of [`to_rfc3339`] is.
pub const RFC3339_BYTES: usize = 30;

/// The clock's time, in nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

/// Reads a point in time: RFC 3339 (`2026-11-20T21:00:00Z`, `…+01:00`, fractions, or only its
/// beginning down to the date), seconds since 1970 (`1795208400.25`), or a duration before `now`
/// (`10m`, `1h30m`, `2d`).
///
/// # Errors
/// The text has none of these forms.
pub fn parse(text: &str, now: i64) -> Result<i64> {
    let text = text.trim();
    let moment = seconds(text)
        .or_else(|| duration(text).and_then(|before| now.checked_sub(before)))
        .or_else(|| date_and_time(text));
    moment.ok_or_else(|| {
        Error::new(format!("`{text}` is not a point in time"))
            .hint("write 2026-11-20T21:00:00Z, seconds since 1970, or how long ago: 10m, 1h30m, 2d")
    })
}

/// `12`, `12.5`, `-1`: digits below nanoseconds are cut.
fn seconds(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: i64 = decimal(whole)?;
    let nanoseconds = whole
        .checked_mul(SECOND)?
        .checked_add(fraction_ns(fraction)?)?;
    nanoseconds.checked_mul(sign)
}

/// The digits behind a decimal point, as nanoseconds.
fn fraction_ns(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some(digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn decimal(digits: &str) -> Option<i64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

/// `1h30m`, `1.5h`, `300ms`, as Go writes durations, and days.
///
/// `None` when the text is no duration, or one that no clock reaches.
#[must_use]
pub fn duration(text: &str) -> Option<i64> {
    // Longer units first where one begins as another does.
    const UNITS: [(&str, i64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", SECOND),
        ("m", 60 * SECOND),
        ("h", 3_600 * SECOND),
        ("d", 86_400 * SECOND),
    ];
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !(character.is_ascii_digit() || character == '.'))?;
        let (number, behind) = rest.split_at(end);
        let (unit, scale) = UNITS
            .into_iter()
            .find(|(unit, _)| behind.starts_with(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole = decimal(whole)?.checked_mul(scale)?;
        let part = i128::from(fraction_ns(fraction)?) * i128::from(scale) / i128::from(SECOND);
        total = total
            .checked_add(whole)?
            .checked_add(i64::try_from(part).ok()?)?;
        rest = &behind[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

/// RFC 3339, or only its beginning: a date, or a time without seconds or offset.
fn date_and_time(text: &str) -> Option<i64> {
    let (date, time) = text
        .split_once(['T', 't', ' '])
        .unwrap_or((text, "00:00:00Z"));
    let mut numbers = date.splitn(3, '-').map(fixed_digits);
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (clock, offset_seconds) = split_offset(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut numbers = clock.splitn(3, ':').map(fixed_digits);
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = numbers.next().unwrap_or(Some(0))?;
    let is_date = (1970..2262).contains(&year) && (1..=days_in(year, month)?).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let whole = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    (whole - offset_seconds)
        .checked_mul(SECOND)?
        .checked_add(fraction_ns(fraction)?)
}

/// The clock's part of a time, and how far its offset is from UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let (clock, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes) = (fixed_digits(hours)?, fixed_digits(minutes)?);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some((clock, sign * (hours * 3_600 + minutes * 60)))
}

/// Two digits, or the four of a year.
fn fixed_digits(digits: &str) -> Option<i64> {
    (digits.len() == 2 || digits.len() == 4).then(|| decimal(digits))?
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => Some(if is_leap { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

/// Years are counted from March, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// `2026-11-20T21:00:00.000000000Z`: all nine digits, so that columns stand below each other. A
/// time before 1970, which only a clock that is wrong gives, is written as 1970.
#[must_use]
pub fn to_rfc3339(ns: i64) -> [u8; RFC3339_BYTES] {
    let ns = u64::try_from(ns).unwrap_or(0);
    let (seconds, nanoseconds) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, seconds % 86_400 / 3_600),
        (14, 2, seconds % 3_600 / 60),
        (17, 2, seconds % 60),
        (20, 9, nanoseconds),
    ];
    for (start, width, value) in fields {
        let mut rest = value;
        for place in text[start..start + width].iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
    text
}

/// As [`to_rfc3339`], as text.
#[must_use]
pub fn rfc3339(ns: i64) -> String {
    String::from_utf8_lossy(&to_rfc3339(ns)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_208_400 * SECOND;

    fn read(text: &str) -> Option<i64> {
        parse(text, NOW).ok()
    }

    #[test]
    fn seconds_since_1970_may_have_a_fraction() {
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1795208400.25"), Some(NOW + SECOND / 4));
        assert_eq!(read("1.0000000019"), Some(SECOND + 1));
        assert_eq!(read("-1"), Some(-SECOND));
    }

    #[test]
    fn durations_count_back_from_now() {
        assert_eq!(read("10m"), Some(NOW - 600 * SECOND));
        assert_eq!(read("1h30m"), Some(NOW - 5_400 * SECOND));
        assert_eq!(read("1.5h"), Some(NOW - 5_400 * SECOND));
        assert_eq!(read("2d"), Some(NOW - 172_800 * SECOND));
        assert_eq!(read("1m500ms"), Some(NOW - 60 * SECOND - SECOND / 2));
        assert_eq!(duration("0s"), Some(0));
    }

    #[test]
    fn dates_are_read_as_date_prints_them() {
        assert_eq!(read("2026-11-20T21:00:00Z"), Some(NOW));
        assert_eq!(read("2026-11-20T22:00:00+01:00"), Some(NOW));
        assert_eq!(read("2026-11-20t16:30:00-04:30"), Some(NOW));
        assert_eq!(read("2026-11-20 21:00"), Some(NOW));
        assert_eq!(read("2026-11-20T21:00:00.5"), Some(NOW + SECOND / 2));
        assert_eq!(read("2026-11-20"), Some(NOW - 21 * 3_600 * SECOND));
        assert_eq!(read("2000-02-29"), Some(951_782_400 * SECOND));
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms() {
        for wrong in [
            "",
            "-",
            ".",
            "1.",
            "1e5",
            "m",
            "1x",
            "1h30",
            "99999999999999999999",
            "300000d",
            "2026-13-01",
            "2026-02-30",
            "2025-02-29",
            "2026-11-20T24:00:00Z",
            "20-11-20",
            "2026-11-20T21:00:00+1",
            "2026-11-20T21:00:00+25:00",
            "2026-11-20T21",
            "1969-01-01",
            "2026-11-20T21:00:00.Z",
            "yesterday",
            "-1h",
            "ä",
        ] {
            let error = parse(wrong, NOW)
                .map(|read| format!("{wrong} is {read}"))
                .unwrap_err();
            assert!(error.hint_text().is_some_and(|hint| hint.contains("1h30m")));
        }
    }

    #[test]
    fn what_is_printed_is_read_back_for_every_kind_of_day() {
        let mut ns = 123_456_789;
        while ns < 9_000_000_000 * SECOND {
            let text = String::from_utf8(to_rfc3339(ns).to_vec()).unwrap();
            assert_eq!(read(&text), Some(ns), "{text}");
            // A prime number of seconds below two days: all hours, days and months come by.
            ns += 170_003 * SECOND;
        }
        assert_eq!(&to_rfc3339(NOW), b"2026-11-20T21:00:00.000000000Z");
        assert_eq!(&to_rfc3339(-5)[..10], b"1970-01-01");
    }
}
