//! From a system call's name to its row in the tables.
//!
//! Profiles mostly list names in alphabetical order, like the table: [`Finder`] looks first just
//! behind the row found last and searches the whole table only when that fails.

use std::cmp::Ordering;

use super::table::{NAMES, OFFSETS, ROWS};

/// How many rows behind the last one are tried before the search starts.
const NEARBY_ROWS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Finder {
    next: usize,
}

impl Finder {
    /// The row of `name`, or nothing when no architecture has such a call.
    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        let end = ROWS.min(self.next + NEARBY_ROWS);
        if let Some(row) = (self.next..end).find(|row| name_of(*row) == name) {
            self.next = row + 1;
            return Some(row);
        }
        let row = search(name)?;
        self.next = row + 1;
        Some(row)
    }
}

pub(super) fn name_of(row: usize) -> &'static str {
    &NAMES[usize::from(OFFSETS[row])..usize::from(OFFSETS[row + 1])]
}

fn search(name: &str) -> Option<usize> {
    let (mut low, mut high) = (0, ROWS);
    while low < high {
        let middle = low.midpoint(high);
        match name_of(middle).cmp(name) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal => return Some(middle),
            Ordering::Greater => high = middle,
        }
    }
    None
}

/// [`Finder::find`] for constants.
pub(super) const fn row_of(name: &str) -> Option<usize> {
    let mut row = 0;
    while row < ROWS {
        if is_name(row, name.as_bytes()) {
            return Some(row);
        }
        row += 1;
    }
    None
}

const fn is_name(row: usize, name: &[u8]) -> bool {
    let start = OFFSETS[row] as usize;
    if OFFSETS[row + 1] as usize - start != name.len() {
        return false;
    }
    let mut index = 0;
    while index < name.len() {
        if NAMES.as_bytes()[start + index] != name[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_order() {
        let mut finder = Finder::default();
        for row in (0..ROWS).chain((0..ROWS).rev()) {
            assert_eq!(finder.find(name_of(row)), Some(row));
        }
        assert_eq!(finder.find("no_such_call"), None);
        assert_eq!(finder.find(""), None);
        assert_eq!(finder.find("zzz"), None);
        assert_eq!(row_of("read").map(name_of), Some("read"));
    }
}
