//! What a figure is: its name, its peer, its bar, and how it is measured.

use anyhow::Result;

use crate::course::Course;
use crate::report::{Bar, Figure, Row};
use crate::sample::Sample;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) bar: Bar,
    pub(crate) measure: fn(&Course, Entry) -> Vec<Row>,
}

pub(crate) const fn entry(
    name: &'static str,
    peer: &'static str,
    bar: Bar,
    measure: fn(&Course, Entry) -> Vec<Row>,
) -> Entry {
    Entry {
        name,
        peer,
        bar,
        measure,
    }
}

/// One row for wall time and one for processor time, of two contestants run in turn.
pub(crate) fn two_rows(entry: Entry, cpu_bar: Bar, measured: Result<(Sample, Sample)>) -> Vec<Row> {
    let (ours, peer) = match measured {
        Ok(samples) => samples,
        Err(error) => return vec![Row::failed(entry.name, entry.peer, entry.bar, &error)],
    };
    let row = |what, ours, peer, bar| Row {
        name: format!("{}: {what}", entry.name),
        unit: "ms",
        peer_name: entry.peer,
        ours: Some(Figure::milliseconds(ours)),
        peer: Some(Figure::milliseconds(peer)),
        bar,
        failure: None,
    };
    vec![
        row("wall", ours.wall(), peer.wall(), entry.bar),
        row("CPU", ours.cpu(), peer.cpu(), cpu_bar),
    ]
}
