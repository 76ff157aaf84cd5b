//! Names and numbers of signals.

use super::failure::{Failure, Result};
use super::nearest::nearest;

/// The numbers of x86-64, aarch64 and riscv64, which agree. Aliases stand behind the usual name.
const NAMES: [(&str, i32); 36] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// The first real-time signal that glibc leaves to programs, and the last one.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads `9`, `KILL`, `sigkill`, `SIGRTMIN+3`, `RTMAX-1`. Signal 0 asks only whether the process
/// is there.
pub(crate) fn parse(text: &str) -> Result<i32> {
    if let Ok(number) = text.parse::<i32>() {
        if (0..=64).contains(&number) {
            return Ok(number);
        }
        return Err(Failure::new(format!(
            "unknown signal \"{text}\": signals are numbered from 0 to 64"
        )));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    real_time(name).ok_or_else(|| {
        let failure = Failure::new(format!("unknown signal \"{text}\""));
        match nearest(name, NAMES.iter().map(|(known, _)| *known)) {
            Some(near) => failure.hint(format!("did you mean SIG{near}?")),
            None => failure,
        }
    })
}

fn real_time(name: &str) -> Option<i32> {
    let number = if let Some(offset) = name.strip_prefix("RTMIN+") {
        REAL_TIME
            .start()
            .checked_add(offset.parse::<u8>().ok()?.into())?
    } else {
        let offset = name.strip_prefix("RTMAX-")?;
        REAL_TIME
            .end()
            .checked_sub(offset.parse::<u8>().ok()?.into())?
    };
    REAL_TIME.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_of_a_signal_is_understood() {
        for (text, number) in [
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("kill", 9),
            ("SIGKILL", 9),
            ("sigTerm", 15),
            ("SIGIOT", 6),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn an_unknown_signal_is_named_with_the_nearest() {
        for text in [
            "",
            "SIG",
            "65",
            "-9",
            "RTMIN+31",
            "RTMAX-31",
            "9x",
            "SIGSIGKILL",
        ] {
            let message = parse(text).unwrap_err().message;
            assert!(
                message.starts_with(&format!("unknown signal \"{text}\"")),
                "{message}"
            );
        }
        assert_eq!(
            parse("SIGTREM").unwrap_err().hint.as_deref(),
            Some("did you mean SIGTERM?")
        );
    }
}
