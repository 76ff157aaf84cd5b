//! Sizes and times as people read them: short, without spaces.

use std::time::Duration;

/// `117MiB`: three digits are enough to compare.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    if unit == 0 || tenths >= 100 {
        format!("{}{}", (tenths + 5) / 10, UNITS[unit])
    } else {
        format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// `42s`, `7m`, `3h`, `12d`, `2y`, as kubectl writes ages.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        172_800..63_072_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// Seconds of a time in UTC as RFC 3339 writes it: `2026-11-20T21:00:00Z`, fractions cut. Times
/// before 1970 and other offsets give `None`.
pub(super) fn seconds_since_epoch(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let parts: Option<Vec<u64>> = text
            .split(separator)
            .map(|part| part.parse().ok())
            .collect();
        parts?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.split('.').next()?, ':')?;
    let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month);
    if !is_date || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1 March of year 0, with the leap day at the end of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    const DAYS_TO_1970: u64 = 719_468;
    let days = days.checked_sub(DAYS_TO_1970)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_four_digits_and_no_space() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(1023), "1023B");
        assert_eq!(size(1536), "1.5KiB");
        assert_eq!(size(117 << 20), "117MiB");
        assert_eq!(size(u64::MAX), "16777216TiB");
    }

    #[test]
    fn times_count_from_1970() {
        assert_eq!(seconds_since_epoch("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            seconds_since_epoch("2000-02-29T12:00:00.5Z"),
            Some(951_825_600)
        );
        assert_eq!(
            seconds_since_epoch("2026-11-20T21:00:00Z"),
            Some(1_795_208_400)
        );
        for wrong in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-11-20",
            "1969-12-31T00:00:00Z",
        ] {
            assert_eq!(seconds_since_epoch(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(age(Duration::from_secs(90)), "90s");
        assert_eq!(age(Duration::from_secs(5 * 3600)), "5h");
        assert_eq!(age(Duration::from_secs(40 * 86_400)), "40d");
    }
}
