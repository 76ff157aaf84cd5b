//! The table of figures: one row per figure, its bar, and whether it is met.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::sample::Summary;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// Ours divided by the peer's.
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// Ours, in the row's unit.
    ValueAtMost(f64),
    /// It is shown to work.
    Works,
    /// Only for information.
    None,
}

/// One contestant's result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// The median where there were several runs.
    pub(crate) value: f64,
    pub(crate) spread: Option<Summary>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) peer_name: &'static str,
    pub(crate) ours: Option<Figure>,
    pub(crate) peer: Option<Figure>,
    pub(crate) bar: Bar,
    /// Why there is no figure.
    pub(crate) failure: Option<String>,
}

impl Figure {
    /// Microseconds become milliseconds.
    pub(crate) fn milliseconds(summary: Summary) -> Self {
        Self {
            value: summary.median_us / 1000.0,
            spread: Some(summary),
        }
    }

    pub(crate) fn plain(value: f64) -> Self {
        Self {
            value,
            spread: None,
        }
    }
}

impl Row {
    pub(crate) fn failed(
        name: &str,
        peer_name: &'static str,
        bar: Bar,
        error: &anyhow::Error,
    ) -> Self {
        Self {
            name: name.to_owned(),
            unit: "",
            peer_name,
            ours: None,
            peer: None,
            bar,
            failure: Some(format!("{error:#}")),
        }
    }

    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.ours?.value / self.peer?.value)
    }

    /// `None` for a row without a bar.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let reached = match self.bar {
            Bar::None => return None,
            Bar::Works => self.failure.is_none(),
            Bar::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Bar::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Bar::ValueAtMost(most) => self.ours.is_some_and(|ours| ours.value <= most),
        };
        Some(reached && self.failure.is_none())
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Bar::RatioAtMost(most) => format!("<= {most}"),
            Bar::RatioAtLeast(least) => format!(">= {least}"),
            Bar::ValueAtMost(most) => format!("<= {most} {}", self.unit),
            Bar::Works => "works".to_owned(),
            Bar::None => "-".to_owned(),
        }
    }
}

/// The table with one line per row, then the spread of each, then what failed.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |columns: [&str; 6]| {
        let [name, ours, peer, ratio, bar, verdict] = columns;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{name:<46} {ours:>12} {peer:>20} {ratio:>7} {bar:>12}  {verdict}"
        );
    };
    line(["figure (medians)", "insula", "peer", "ratio", "bar", ""]);
    for row in rows {
        let show = |figure: Option<Figure>| {
            figure.map_or_else(
                || "-".to_owned(),
                |f| format!("{:.3} {}", f.value, row.unit),
            )
        };
        let peer = row.peer.map_or_else(
            || "-".to_owned(),
            |figure| format!("{} {}", row.peer_name, show(Some(figure))),
        );
        let ratio = row
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let verdict = match (row.is_met(), &row.failure) {
            (_, Some(_)) => "FAILED",
            (Some(true), None) => "met",
            (Some(false), None) => "MISSED",
            (None, None) => "",
        };
        line([
            &row.name,
            &show(row.ours),
            &peer,
            &ratio,
            &row.bar_text(),
            verdict,
        ]);
    }
    text.push_str(&spreads(rows));
    for row in rows {
        if let Some(failure) = &row.failure {
            let _ = writeln!(text, "FAILED {}: {failure}", row.name);
        }
    }
    text
}

fn spreads(rows: &[Row]) -> String {
    let mut text = String::from(
        "\nmilliseconds                          min   median      p90      p99   runs\n",
    );
    for row in rows {
        for (who, figure) in [("insula", row.ours), (row.peer_name, row.peer)] {
            let Some(Summary {
                min_us,
                median_us,
                p90_us,
                p99_us,
                runs,
            }) = figure.and_then(|figure| figure.spread)
            else {
                continue;
            };
            let name: String = row.name.chars().take(26).collect();
            let [min, median, p90, p99] = [min_us, median_us, p90_us, p99_us].map(|us| us / 1e3);
            let _ = writeln!(
                text,
                "{name:<26} {who:<6} {min:>8.3} {median:>8.3} {p90:>8.3} {p99:>8.3} {runs:>6}"
            );
        }
    }
    text
}

/// The same for programs.
pub(crate) fn json(rows: &[Row], machine: &[(String, String)]) -> Value {
    let figure = |figure: Option<Figure>| {
        figure.map(|figure| {
            let spread = figure.spread.map(|spread| {
                json!({"min_us": spread.min_us, "median_us": spread.median_us,
                       "p90_us": spread.p90_us, "p99_us": spread.p99_us, "runs": spread.runs})
            });
            json!({"value": figure.value, "spread": spread})
        })
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"figure": row.name, "unit": row.unit, "insula": figure(row.ours),
                   "peer_name": row.peer_name, "peer": figure(row.peer), "ratio": row.ratio(),
                   "bar": row.bar_text(), "met": row.is_met(), "failure": row.failure})
        })
        .collect();
    let machine: serde_json::Map<String, Value> = machine
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({"machine": machine, "figures": rows})
}
