//! The log as a whole, against a model that is a list of what was written.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::format::{FRAME_BYTES, SEGMENT_HEAD_BYTES};
use super::*;

const WHOLE: LogOptions = LogOptions {
    max_bytes: Some(1 << 30),
    max_files: 4,
};

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// What `logs` would print on stdout and stderr.
fn shown(directory: &Path, selection: Selection, timestamps: bool) -> (Vec<u8>, Vec<u8>) {
    let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let show = Show {
        selection,
        timestamps,
        stdout: files[0].as_fd(),
        stderr: files[1].as_fd(),
        follow: None,
    };
    show.run(&mut LogReader::open(directory).unwrap()).unwrap();
    let [out, err] = &mut files;
    (content(out), content(err))
}

fn content(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    /// Lines and pieces of them, some large, some with zeros.
    fn bytes(&mut self) -> Vec<u8> {
        let length = [1, 7, 80, 5000, 70_000][self.below(5)];
        let length = 1 + self.below(length);
        let mut bytes: Vec<u8> = (0..length).map(|_| b"abc\n\0xyz"[self.below(8)]).collect();
        if self.below(2) == 0 {
            bytes.push(b'\n');
        }
        bytes
    }
}

#[test]
fn what_was_written_is_what_is_shown_over_reopenings() {
    let directory = tempfile::tempdir().unwrap();
    let mut chance = Chance(0x9e37_79b9);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut writer = LogWriter::open(directory.path(), WHOLE).unwrap();
        for _ in 0..10 {
            let bytes = chance.bytes();
            let (stream, model) = match chance.below(3) {
                0 => (Stream::Stderr, &mut err),
                _ => (Stream::Stdout, &mut out),
            };
            writer.append(stream, &bytes);
            model.extend_from_slice(&bytes);
        }
        assert_eq!(writer.health(), LogHealth::default());
    }
    let (printed_out, printed_err) = shown(directory.path(), Selection::default(), false);
    assert!(printed_out == out && printed_err == err);
}

#[test]
fn the_last_lines_are_the_last_lines_for_every_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut chance = Chance(7);
    let mut model = Vec::new();
    let mut writer = LogWriter::open(directory.path(), WHOLE).unwrap();
    for _ in 0..60 {
        let length = 1 + chance.below(30);
        let bytes: Vec<u8> = (0..length).map(|_| b"ab\n"[chance.below(3)]).collect();
        writer.append(Stream::Stdout, &bytes);
        model.extend_from_slice(&bytes);
    }
    let lines: Vec<&[u8]> = model.split_inclusive(|byte| *byte == b'\n').collect();
    for count in 0..lines.len() + 3 {
        let selection = Selection {
            tail: Some(u64::try_from(count).unwrap()),
            ..Selection::default()
        };
        let expected = lines[lines.len().saturating_sub(count)..].concat();
        assert!(
            shown(directory.path(), selection, false).0 == expected,
            "tail {count}"
        );
    }
}

#[test]
fn a_log_that_was_cut_anywhere_goes_on_and_keeps_what_was_whole() {
    let original = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(original.path(), WHOLE).unwrap();
    writer.append(Stream::Stdout, b"first\n");
    writer.append(Stream::Stdout, b"second line\n");
    drop(writer);
    let [path] = segments(original.path()).try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    let second = SEGMENT_HEAD_BYTES + FRAME_BYTES + 6;
    for length in SEGMENT_HEAD_BYTES..whole.len() {
        let directory = tempfile::tempdir().unwrap();
        let name = path.file_name().unwrap();
        fs::write(directory.path().join(name), &whole[..length]).unwrap();
        let mut writer = LogWriter::open(directory.path(), WHOLE).unwrap();
        writer.append(Stream::Stdout, b"last\n");
        drop(writer);
        let (out, _) = shown(directory.path(), Selection::default(), false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("last\n"), "cut at {length}: {text}");
        if length >= second {
            assert!(text.starts_with("first\n"), "cut at {length}: {text}");
        }
    }
}

#[test]
fn old_segments_go_and_the_bound_holds() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions {
        max_bytes: Some(8 << 10),
        max_files: 3,
    };
    let mut writer = LogWriter::open(directory.path(), options).unwrap();
    for number in 0..5000 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    let paths = segments(directory.path());
    assert!(paths.len() <= 3, "{paths:?}");
    let total: u64 = paths
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(total <= 24 << 10, "{total}");
    let (out, _) = shown(directory.path(), Selection::default(), false);
    let text = String::from_utf8(out).unwrap();
    let numbers: Vec<u32> = text
        .lines()
        .map(|line| line[5..].parse().unwrap())
        .collect();
    assert_eq!(numbers.last(), Some(&4999));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn damage_in_the_middle_is_told_and_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(directory.path(), WHOLE).unwrap();
    for number in 0..100 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    drop(writer);
    let [path] = segments(directory.path()).try_into().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 60].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let (out, err) = shown(directory.path(), Selection::default(), false);
    let (out, err) = (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    );
    assert!(out.starts_with("line 0\n") && out.ends_with("line 99\n"));
    assert!(err.contains("damaged"), "{err}");
}

#[test]
fn times_stand_before_lines_and_choose_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(directory.path(), WHOLE).unwrap();
    writer.append(Stream::Stdout, b"old\nha");
    let border = crate::moment::now_ns();
    writer.append(Stream::Stdout, b"lf\nnew\n");
    let (out, _) = shown(directory.path(), Selection::default(), true);
    let text = String::from_utf8(out).unwrap();
    let words: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(words, ["old", "half", "new"]);
    let since = Selection {
        since: Some(border),
        ..Selection::default()
    };
    assert_eq!(shown(directory.path(), since, false).0, b"new\n");
}

#[test]
fn a_second_writer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _writer = LogWriter::open(directory.path(), WHOLE).unwrap();
    let error = LogWriter::open(directory.path(), WHOLE).unwrap_err();
    assert!(
        error.chain().contains("another process"),
        "{}",
        error.chain()
    );
}
