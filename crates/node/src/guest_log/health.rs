//! What a log could not keep: counted, told once, and written down as soon as there is room.

use insula_sys::Errno;

use super::writer::NOTE_BYTES;

/// How the log stands, for the guest's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogHealth {
    /// Bytes of output that are not in the log, since this writer opened it.
    pub lost_bytes: u64,
    /// Since when nothing can be written, in nanoseconds since 1970; `None` when all is well.
    pub since_ns: Option<i64>,
    /// Why nothing can be written: "no space left".
    pub reason: Option<&'static str>,
}

/// A gap that no note tells of yet.
#[derive(Debug, Clone, Copy)]
struct Gap {
    bytes: u64,
    since_ns: i64,
    reason: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Losses {
    total: u64,
    gap: Option<Gap>,
    /// Trouble began or ended, and nobody was told.
    is_news: bool,
}

impl Losses {
    pub(super) fn health(&self) -> LogHealth {
        LogHealth {
            lost_bytes: self.total,
            since_ns: self.gap.map(|gap| gap.since_ns),
            reason: self.gap.map(|gap| gap.reason),
        }
    }

    pub(super) fn take_news(&mut self) -> Option<LogHealth> {
        std::mem::take(&mut self.is_news).then(|| self.health())
    }

    pub(super) fn add(&mut self, bytes: u64, errno: Errno, now_ns: i64) {
        self.total += bytes;
        self.is_news |= self.gap.is_none();
        let gap = self.gap.get_or_insert_with(|| Gap {
            bytes: 0,
            since_ns: now_ns,
            reason: reason(errno),
        });
        gap.bytes += bytes;
    }

    /// The note about the gap, if there is one, in `buffer`.
    pub(super) fn note<'a>(&self, buffer: &'a mut [u8; NOTE_BYTES]) -> Option<&'a [u8]> {
        let gap = self.gap?;
        Some(write_note(buffer, gap.bytes, gap.reason))
    }

    /// The note was written: all is well again.
    pub(super) fn close(&mut self) {
        self.is_news |= self.gap.take().is_some();
    }
}

/// `N bytes lost: REASON`, and a newline.
pub(super) fn write_note<'a>(
    buffer: &'a mut [u8; NOTE_BYTES],
    bytes: u64,
    reason: &str,
) -> &'a [u8] {
    use std::io::Write;
    let mut rest = &mut buffer[..];
    // Reasons are short: they are those below.
    let _ = writeln!(rest, "{bytes} bytes lost: {reason}");
    let free = rest.len();
    &buffer[..NOTE_BYTES - free]
}

const fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC => "no space left",
        Errno::DQUOT => "the disk quota is used up",
        Errno::IO => "the disk reports an error",
        Errno::ROFS => "the file system is read-only",
        Errno::FBIG => "the file would become too large",
        Errno::NOENT => "the directory of the log is gone",
        _ => "the log cannot be written",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_when_it_begins_and_once_when_it_ends() {
        let mut losses = Losses::default();
        assert_eq!(losses.take_news(), None);
        losses.add(10, Errno::NOSPC, 5);
        losses.add(7, Errno::NOSPC, 6);
        let told = losses.take_news().unwrap();
        assert_eq!((told.lost_bytes, told.since_ns), (17, Some(5)));
        assert_eq!(told.reason, Some("no space left"));
        assert_eq!(losses.take_news(), None);
        let mut buffer = [0; NOTE_BYTES];
        assert_eq!(
            losses.note(&mut buffer),
            Some(&b"17 bytes lost: no space left\n"[..])
        );
        losses.close();
        let told = losses.take_news().unwrap();
        assert_eq!((told.lost_bytes, told.since_ns), (17, None));
        assert_eq!(losses.note(&mut buffer), None);
    }

    #[test]
    fn the_longest_note_fits() {
        let mut buffer = [0; NOTE_BYTES];
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::IO,
            Errno::FBIG,
            Errno::NOENT,
        ] {
            let note = write_note(&mut buffer, u64::MAX, reason(errno));
            assert!(note.ends_with(b"\n"));
        }
    }
}
