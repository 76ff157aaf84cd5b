//! The segments of a log's directory.

use std::os::fd::{AsFd, BorrowedFd};

use insula_sys::Errno;
use insula_sys::rustix::fs::Dir;

use super::format::SegmentName;

/// The numbers of all segments, the oldest first.
pub(super) fn list(directory: impl AsFd) -> Result<Vec<u64>, Errno> {
    let mut numbers = Vec::new();
    visit(directory.as_fd(), |number| numbers.push(number))?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// The oldest segment that is newer than `number`.
pub(super) fn next_after(directory: impl AsFd, number: u64) -> Result<Option<u64>, Errno> {
    let mut next: Option<u64> = None;
    visit(directory.as_fd(), |found| {
        if found > number && next.is_none_or(|next| found < next) {
            next = Some(found);
        }
    })?;
    Ok(next)
}

/// The newest segment that is older than `number`.
pub(super) fn last_before(directory: impl AsFd, number: u64) -> Result<Option<u64>, Errno> {
    let mut last: Option<u64> = None;
    visit(directory.as_fd(), |found| {
        if found < number && last.is_none_or(|last| found > last) {
            last = Some(found);
        }
    })?;
    Ok(last)
}

fn visit(directory: BorrowedFd<'_>, mut each: impl FnMut(u64)) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        if let Some(number) = SegmentName::parse(entry?.file_name().to_bytes()) {
            each(number);
        }
    }
    Ok(())
}
