//! `insula stats`: what guests use.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use insula_node::guest::{self, Counters, Usage};
use insula_node::screen::{Key, Screen};
use serde_json::{Value, json};

use super::store::{Location, engine_failure};
use super::text;
use crate::Failure;
use crate::output::{Column, Format, FormatArguments, Listing};

/// Show what containers use: processor, memory, disk, network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal it goes on, every second; q leaves. Processor time is in hundredths of one processor.

Examples:
  insula stats
  insula stats --no-stream -o json web")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough) [default: all that run]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Once, and not again and again
    #[arg(long)]
    no_stream: bool,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("NAME"),
    Column::new("CPU%"),
    Column::new("MEM"),
    Column::new("LIMIT"),
    Column::new("MEM%"),
    Column::new("PIDS"),
    Column::new("READ"),
    Column::new("WRITTEN"),
    Column::wide("RECEIVED"),
    Column::wide("SENT"),
];

/// Between two looks that one figure is made of.
const MOMENT: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let is_table = matches!(arguments.output.format, Format::Table | Format::Wide);
    let is_live = is_table && !arguments.no_stream && std::io::stdout().is_terminal();
    let mut meter = Meter::default();
    meter.look(arguments, location)?;
    if !is_live {
        insula_node::wait(MOMENT).map_err(|error| engine_failure(&error))?;
        return print(&meter.look(arguments, location)?, &arguments.output.format);
    }
    let screen =
        Screen::enter().map_err(|error| Failure::failed("use the terminal").caused_by(&error))?;
    let mut pause = MOMENT;
    loop {
        match screen.key(pause) {
            Key::End | Key::Escape | Key::Character('q') => return Ok(0),
            _ => pause = Duration::from_secs(1),
        }
        let lines = listing(&meter.look(arguments, location)?);
        let is_wide = arguments.output.format == Format::Wide;
        screen
            .draw(&lines.lines(is_wide))
            .map_err(|error| Failure::failed("draw").caused_by(&error))?;
    }
}

/// Remembers the counters of the look before, for what changes.
#[derive(Default)]
pub(super) struct Meter {
    before: HashMap<String, Counters>,
}

/// A guest, and hundredths of a processor since the look before.
pub(super) type Measured = (Usage, f64);

impl Meter {
    fn look(
        &mut self,
        arguments: &Arguments,
        location: &Location,
    ) -> Result<Vec<Measured>, Failure> {
        self.measure(&arguments.containers, location)
    }

    pub(super) fn measure(
        &mut self,
        names: &[String],
        location: &Location,
    ) -> Result<Vec<Measured>, Failure> {
        let all = guest::usage(&location.place(), names).map_err(|error| engine_failure(&error))?;
        let mut counters = HashMap::new();
        let mut measured = Vec::new();
        for usage in all {
            let id = usage.guest.record.id.clone();
            let before = self.before.get(&id).unwrap_or(&usage.counters);
            measured.push((usage.clone(), usage.counters.cpu_percent(before)));
            counters.insert(id, usage.counters);
        }
        self.before = counters;
        Ok(measured)
    }
}

fn print(measured: &[Measured], format: &Format) -> Result<u8, Failure> {
    listing(measured).print(format)?;
    Ok(0)
}

fn listing(measured: &[Measured]) -> Listing {
    let mut listing = Listing::new("running containers", COLUMNS);
    for (usage, cpu) in measured {
        let name = &usage.guest.record.name;
        listing.push(
            format!("container/{name}"),
            row(usage, *cpu),
            object(usage, *cpu),
        );
    }
    listing
}

pub(super) fn memory_percent(counters: &Counters) -> Option<f64> {
    let limit = counters.memory_limit_bytes?;
    #[expect(clippy::cast_precision_loss, reason = "a per cent needs few digits")]
    Some(100.0 * counters.memory_bytes as f64 / limit as f64)
}

fn row(usage: &Usage, cpu: f64) -> Vec<String> {
    let counters = &usage.counters;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        usage.guest.record.name.clone(),
        format!("{cpu:.1}"),
        text::size(counters.memory_bytes),
        or_dash(counters.memory_limit_bytes.map(text::size)),
        or_dash(memory_percent(counters).map(|percent| format!("{percent:.1}"))),
        counters.processes.to_string(),
        text::size(counters.read_bytes),
        text::size(counters.written_bytes),
        text::size(counters.received_bytes),
        text::size(counters.sent_bytes),
    ]
}

fn object(usage: &Usage, cpu: f64) -> Value {
    let counters = &usage.counters;
    json!({
        "name": usage.guest.record.name,
        "id": usage.guest.record.id,
        "cpuPercent": cpu,
        "memoryBytes": counters.memory_bytes,
        "memoryLimitBytes": counters.memory_limit_bytes,
        "processes": counters.processes,
        "readBytes": counters.read_bytes,
        "writtenBytes": counters.written_bytes,
        "receivedBytes": counters.received_bytes,
        "sentBytes": counters.sent_bytes,
    })
}
