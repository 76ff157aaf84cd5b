//! `insula top`: the processes of one guest, or all guests and their load on the whole screen.

use std::collections::HashMap;
use std::time::Duration;

use insula_node::guest::{self, Guest, Status, StopRequest};
use insula_node::screen::{Key, Screen};

use super::stats::{Measured, Meter};
use super::store::{Location, engine_failure};
use super::{ps, text};
use crate::{Failure, output};

/// Show the processes of a container, or all containers and their load
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a name the whole screen shows all containers, the busiest first. Keys: up and down choose,
p pauses and resumes, s stops, k kills (y confirms), c, m and n sort, q leaves.

Examples:
  insula top
  insula top web")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough) [default: the whole screen]
    container: Option<String>,
}

const FRAME: Duration = Duration::from_secs(1);
/// So many looks back the little curve goes.
const HISTORY: usize = 20;
const CURVE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    if let Some(name) = &arguments.container {
        let table = guest::processes(&location.place(), name).map_err(|e| engine_failure(&e))?;
        output::data(table);
        return Ok(0);
    }
    let screen = Screen::enter().map_err(|error| {
        Failure::failed("the whole screen needs a terminal")
            .caused_by(&error)
            .hint("insula stats --no-stream prints the same once")
    })?;
    let mut view = View::default();
    let mut pause = Duration::from_millis(200);
    view.look(location)?;
    loop {
        let key = screen.key(pause);
        pause = FRAME;
        if matches!(key, Key::End | Key::Character('q')) {
            return Ok(0);
        }
        view.press(key, location);
        // A key is answered at once, and the figures need a while between two looks.
        if key == Key::None {
            view.look(location)?;
        } else {
            view.refresh(location)?;
        }
        screen
            .draw(&view.lines(screen.size()))
            .map_err(|error| Failure::failed("draw").caused_by(&error))?;
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Cpu,
    Memory,
    Name,
}

/// What is shown, and what is chosen.
#[derive(Default)]
struct View {
    meter: Meter,
    measured: HashMap<String, Measured>,
    guests: Vec<Guest>,
    history: HashMap<String, Vec<f64>>,
    order: Order,
    chosen: usize,
    /// The guest that is to be killed, if the next key says so.
    asked: Option<String>,
    message: String,
}

impl View {
    fn look(&mut self, location: &Location) -> Result<(), Failure> {
        let measured = self.meter.measure(&[], location)?;
        self.measured.clear();
        for (usage, cpu) in measured {
            let id = usage.guest.record.id.clone();
            let history = self.history.entry(id.clone()).or_default();
            history.push(cpu);
            if history.len() > HISTORY {
                history.remove(0);
            }
            self.measured.insert(id, (usage, cpu));
        }
        self.refresh(location)
    }

    fn refresh(&mut self, location: &Location) -> Result<(), Failure> {
        let chosen = self
            .guests
            .get(self.chosen)
            .map(|guest| guest.record.id.clone());
        self.guests = guest::list(&location.place()).map_err(|error| engine_failure(&error))?;
        self.history
            .retain(|id, _| self.guests.iter().any(|guest| guest.record.id == *id));
        self.sort();
        // Who was chosen stays it, wherever the order takes it.
        let place = self
            .guests
            .iter()
            .position(|guest| Some(&guest.record.id) == chosen.as_ref());
        self.chosen = place
            .unwrap_or(self.chosen)
            .min(self.guests.len().saturating_sub(1));
        Ok(())
    }

    fn sort(&mut self) {
        let (measured, order) = (&self.measured, self.order);
        self.guests.sort_by(|a, b| {
            let figure = |guest: &Guest| match (measured.get(&guest.record.id), order) {
                (Some((_, cpu)), Order::Cpu) => *cpu,
                #[expect(clippy::cast_precision_loss, reason = "only the order counts")]
                (Some((usage, _)), Order::Memory) => usage.counters.memory_bytes as f64,
                _ => 0.0,
            };
            let by_figure = figure(b).total_cmp(&figure(a));
            let by_status = b.status.is_up().cmp(&a.status.is_up());
            by_status
                .then(by_figure)
                .then_with(|| a.record.name.cmp(&b.record.name))
        });
    }

    fn press(&mut self, key: Key, location: &Location) {
        if let Some(name) = self.asked.take() {
            self.message = if key == Key::Character('y') {
                told(&name, "killed", guest::kill(&location.place(), &name, 9))
            } else {
                String::new()
            };
            return;
        }
        match key {
            Key::Up => self.chosen = self.chosen.saturating_sub(1),
            Key::Down => self.chosen += 1,
            Key::Character('c') => self.order = Order::Cpu,
            Key::Character('m') => self.order = Order::Memory,
            Key::Character('n') => self.order = Order::Name,
            Key::Character(letter @ ('p' | 's' | 'k')) => self.act(letter, location),
            _ => {}
        }
    }

    fn act(&mut self, letter: char, location: &Location) {
        let Some(guest) = self.guests.get(self.chosen) else {
            return;
        };
        let (name, place) = (guest.record.name.clone(), location.place());
        self.message = match (letter, guest.status) {
            ('k', _) => {
                self.asked = Some(name.clone());
                format!("kill {name}? y")
            }
            ('s', _) => {
                let stopped = guest::stop(&place, &name, StopRequest::default()).map(drop);
                told(&name, "stopped", stopped)
            }
            (_, Status::Paused) => told(&name, "resumed", guest::resume(&place, &name)),
            _ => told(&name, "paused", guest::pause(&place, &name)),
        };
    }

    fn lines(&self, (rows, columns): (usize, usize)) -> Vec<String> {
        let up = self
            .guests
            .iter()
            .filter(|guest| guest.status.is_up())
            .count();
        let mut lines = vec![
            format!(
                "\x1b[1minsula top\x1b[0m  {up} up, {} in all",
                self.guests.len()
            ),
            cut(&self.message, columns),
            format!(
                "\x1b[7m{}",
                pad(
                    &format!(
                        "{:<20} {:<20} {:>7} {:>9} {:>6} {:>6}  {:<HISTORY$} {}",
                        "NAME", "STATUS", "CPU%", "MEM", "MEM%", "PIDS", "", "IMAGE"
                    ),
                    columns
                )
            ),
        ];
        let room = rows.saturating_sub(lines.len() + 1).max(1);
        let first = (self.chosen + 1).saturating_sub(room);
        for (number, guest) in self.guests.iter().enumerate().skip(first).take(room) {
            let line = pad(&self.line(guest), columns);
            lines.push(match number == self.chosen {
                true => format!("\x1b[7m{line}"),
                false => line,
            });
        }
        lines.push("\x1b[2mq leave  p pause  s stop  k kill  c m n sort".to_owned());
        lines.truncate(rows);
        lines
    }

    fn line(&self, guest: &Guest) -> String {
        let id = &guest.record.id;
        let figures = match self.measured.get(id) {
            Some((usage, cpu)) => {
                let counters = &usage.counters;
                let percent = super::stats::memory_percent(counters)
                    .map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}"));
                format!(
                    "{cpu:>7.1} {:>9} {percent:>6} {:>6}",
                    text::size(counters.memory_bytes),
                    counters.processes
                )
            }
            None => format!("{:>7} {:>9} {:>6} {:>6}", "-", "-", "-", "-"),
        };
        let history = self.history.get(id).map_or(&[][..], Vec::as_slice);
        format!(
            "{:<20} {:<20} {figures}  {:<HISTORY$} {}",
            cut(&guest.record.name, 20),
            cut(&ps::status(guest), 20),
            curve(history),
            guest.record.image
        )
    }
}

/// What became of a wish, in a few words.
fn told(name: &str, verbed: &str, done: Result<(), insula_node::Error>) -> String {
    match done {
        Ok(()) => format!("{name} {verbed}"),
        Err(error) => error.chain(),
    }
}

/// The load of the last looks, one character each; a whole processor is the full height.
fn curve(history: &[f64]) -> String {
    let height = history.iter().copied().fold(100.0, f64::max);
    let step = |load: &f64| {
        let steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875];
        let share = load / height;
        CURVE[steps.iter().filter(|step| share >= **step).count()]
    };
    history.iter().map(step).collect()
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

fn pad(text: &str, columns: usize) -> String {
    let cut = cut(text, columns);
    let missing = columns.saturating_sub(cut.chars().count());
    format!("{cut}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_as_high_as_the_load() {
        assert_eq!(curve(&[0.0, 50.0, 100.0]), "▁▅█");
        assert_eq!(curve(&[100.0, 200.0]), "▅█");
        assert_eq!(curve(&[]), "");
    }

    #[test]
    fn lines_fill_the_width_and_no_more() {
        assert_eq!(pad("abc", 5), "abc  ");
        assert_eq!(pad("abcdef", 3), "abc");
    }

    #[test]
    fn the_frame_fits_any_screen() {
        let view = View::default();
        for size in [(1, 1), (4, 10), (24, 80)] {
            assert!(view.lines(size).len() <= size.0);
        }
    }
}
