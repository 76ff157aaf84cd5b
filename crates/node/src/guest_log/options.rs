//! How much of a guest's output is kept: the limits, and docker's words for them.

use std::os::fd::AsFd;

use insula_container::error::{Error, Result};
use insula_sys::rustix::fs::fstatvfs;

use super::format::{FRAME_BYTES, PAYLOAD_MAX, SEGMENT_HEAD_BYTES};

/// A smaller segment than this is not made: the frames would outweigh what they hold.
pub(super) const SEGMENT_MIN: u64 = 4 << 10;

/// As journald: a tenth of the file system, and no more than this.
const DEFAULT_TOTAL_MAX: u64 = 4 << 30;
const DEFAULT_FILES: u32 = 8;
/// Into so many segments a size is divided when no number of files was given, so that a rotation
/// does not take the whole log.
const FILES_OF_A_SIZE: u32 = 4;

/// What a log may take on disk: `max_bytes` times `max_files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Of one segment. `None`: a tenth of the file system's size, at most 4 GiB, in all segments
    /// together.
    pub max_bytes: Option<u64>,
    /// Segments that are kept; at least 1.
    pub max_files: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            max_bytes: None,
            max_files: DEFAULT_FILES,
        }
    }
}

impl LogOptions {
    /// Reads docker's `--log-opt` values, such as `max-size=10m` and `max-file=3`. The same one
    /// twice: the last counts.
    ///
    /// # Errors
    /// An option is unknown or its value has another form.
    pub fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let (mut size, mut files) = (None, None);
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("max-size", value) => size = Some(parse_size(value)?),
                ("max-file", value) => files = Some(parse_files(value)?),
                (name, _) => return Err(unknown_option(name)),
            }
        }
        Ok(match (size, files) {
            (None, files) => Self {
                max_bytes: None,
                max_files: files.unwrap_or(DEFAULT_FILES),
            },
            (Some(size), Some(files)) => Self {
                max_bytes: Some(size),
                max_files: files,
            },
            (Some(size), None) => Self {
                max_bytes: Some((size / u64::from(FILES_OF_A_SIZE)).max(SEGMENT_MIN)),
                max_files: FILES_OF_A_SIZE,
            },
        })
    }

    /// How long a segment may become, for a log in `directory`.
    pub(super) fn segment_bytes(&self, directory: impl AsFd) -> u64 {
        let of_file_system = || {
            let size = fstatvfs(directory).map_or(0, |stat| stat.f_blocks * stat.f_frsize);
            (size / 10).min(DEFAULT_TOTAL_MAX) / u64::from(self.max_files.max(1))
        };
        self.max_bytes
            .unwrap_or_else(of_file_system)
            .max(SEGMENT_MIN)
    }
}

/// The longest payload that leaves room, in a segment of this length, for a note before it.
pub(super) fn payload_limit(segment_bytes: u64) -> usize {
    let room = usize::try_from(segment_bytes).unwrap_or(usize::MAX);
    room.saturating_sub(SEGMENT_HEAD_BYTES + 2 * FRAME_BYTES + super::writer::NOTE_BYTES)
        .clamp(1, PAYLOAD_MAX)
}

fn parse_size(text: &str) -> Result<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits_end = lower
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(digits_end);
    let shift = match unit {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    let size = shift
        .zip(number)
        .and_then(|(shift, number)| number.checked_mul(1 << shift));
    match size {
        Some(size) if size < SEGMENT_MIN => Err(Error::new(format!(
            "`max-size={text}` is too small for a log"
        ))
        .hint("the least is 4k")),
        Some(size) => Ok(size),
        None => Err(Error::new(format!("`max-size` cannot be `{text}`"))
            .hint("a size is a number with k, m or g behind it: max-size=10m")),
    }
}

fn parse_files(text: &str) -> Result<u32> {
    let files = text.trim().parse::<u32>().ok().filter(|files| *files > 0);
    files.ok_or_else(|| {
        Error::new(format!("`max-file` cannot be `{text}`"))
            .hint("it is the number of files that are kept, 1 or more: max-file=3")
    })
}

fn unknown_option(name: &str) -> Error {
    let hint = match name {
        "max-file-size" | "maxsize" | "size" => "did you mean max-size=10m?",
        "max-files" | "maxfile" | "files" => "did you mean max-file=3?",
        "mode" | "max-buffer-size" => {
            "a guest never waits for its log here, so there is no mode to choose; there are \
             max-size and max-file"
        }
        "path" | "tag" | "labels" | "env" | "compress" => {
            "Insula keeps the log itself, as `insula logs` shows it; there are max-size and max-file"
        }
        _ => "there are max-size=10m and max-file=3",
    };
    Error::new(format!("no log option `{name}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_options_are_understood() {
        let parsed = LogOptions::parse(["max-size=10m", "max-file=3"]).unwrap();
        assert_eq!((parsed.max_bytes, parsed.max_files), (Some(10 << 20), 3));
        let parsed = LogOptions::parse(["max-file=2", "max-size=1G"]).unwrap();
        assert_eq!((parsed.max_bytes, parsed.max_files), (Some(1 << 30), 2));
        assert_eq!(LogOptions::parse([]).unwrap(), LogOptions::default());
    }

    #[test]
    fn a_size_alone_is_the_size_of_all_files_together() {
        let parsed = LogOptions::parse(["max-size=64k"]).unwrap();
        let total = parsed.max_bytes.unwrap() * u64::from(parsed.max_files);
        assert_eq!(total, 64 << 10);
        assert!(parsed.max_files > 1);
    }

    #[test]
    fn wrong_options_say_the_form_they_should_have() {
        for (wrong, hint) in [
            ("max-size", "max-size=10m"),
            ("max-size=10x", "max-size=10m"),
            ("max-size=0", "max-size=10m"),
            ("max-size=-1", "max-size=10m"),
            ("max-size=99999999999g", "max-size=10m"),
            ("max-size=1k", "4k"),
            ("max-file=0", "max-file=3"),
            ("max-file=three", "max-file=3"),
            ("max-files=3", "max-file=3"),
            ("mode=non-blocking", "max-size"),
            ("colour=red", "max-size"),
        ] {
            let error = LogOptions::parse([wrong]).unwrap_err();
            assert!(
                error.hint_text().is_some_and(|text| text.contains(hint)),
                "{wrong}: {error:?}"
            );
        }
    }

    #[test]
    fn without_a_size_it_is_a_tenth_of_the_file_system_and_at_most_four_gigabytes() {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let stat = fstatvfs(&opened).unwrap();
        let size = stat.f_blocks * stat.f_frsize;
        let total = LogOptions::default().segment_bytes(&opened) * 8;
        assert!(total <= (4 << 30) && total <= size / 10 + 8 * SEGMENT_MIN);
    }
}
