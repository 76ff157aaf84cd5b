//! A list of things, printed as a table, as JSON, as YAML, as names, or by an expression.
//!
//! Tables look like kubectl's: heads in capitals, columns as wide as their widest value, two or
//! more spaces between them, no borders. Values never contain spaces, so `awk` can read them; an
//! empty list prints a sentence on stderr and, as JSON, `[]`.

use std::io;

use serde_json::Value;

use super::{JsonPath, colour_wanted, data, talk, yaml};
use crate::Failure;

/// The value of `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath(String),
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(expression) = text.strip_prefix("jsonpath=") {
            JsonPath::parse(expression)?;
            return Ok(Self::JsonPath(expression.to_owned()));
        }
        match text {
            "table" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => Err("use table, wide, json, yaml, name or jsonpath=EXPRESSION".to_owned()),
        }
    }
}

/// `-o`, for every command that lists or describes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FormatArguments {
    /// Output: table, wide, json, yaml, name, jsonpath=EXPRESSION
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) format: Format,
}

/// One column of a table. Columns that only `-o wide` shows are marked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) is_wide: bool,
}

impl Column {
    #[must_use]
    pub(crate) const fn new(head: &'static str) -> Self {
        Self {
            head,
            is_wide: false,
        }
    }

    #[must_use]
    pub(crate) const fn wide(head: &'static str) -> Self {
        Self {
            head,
            is_wide: true,
        }
    }
}

/// Rows for people and the same things as objects for programs.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// What is listed, in the plural: "images".
    pub(crate) noun: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) objects: Vec<Value>,
    pub(crate) names: Vec<String>,
}

impl Listing {
    #[must_use]
    pub(crate) const fn new(noun: &'static str, columns: &'static [Column]) -> Self {
        Self {
            noun,
            columns,
            rows: Vec::new(),
            objects: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Adds one thing: its name, its row (a cell per column, wide ones too), its object.
    pub(crate) fn push(&mut self, name: impl Into<String>, row: Vec<String>, object: Value) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.names.push(name.into());
        self.rows.push(row);
        self.objects.push(object);
    }

    /// Prints in the form asked for.
    ///
    /// # Errors
    /// When a JSONPath expression cannot be read.
    pub(crate) fn print(self, format: &Format) -> Result<(), Failure> {
        match format {
            Format::Table | Format::Wide => {
                if self.rows.is_empty() {
                    talk(format_args!("no {}", self.noun));
                }
                data(self.table(*format == Format::Wide));
                Ok(())
            }
            Format::Name => {
                for name in &self.names {
                    data(format_args!("{name}\n"));
                }
                Ok(())
            }
            _ => print_document(&Value::Array(self.objects), format),
        }
    }

    /// The table's lines, for a screen of its own.
    #[must_use]
    pub(crate) fn lines(&self, wide: bool) -> Vec<String> {
        self.table(wide).lines().map(str::to_owned).collect()
    }

    fn table(&self, wide: bool) -> String {
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|&index| wide || !self.columns[index].is_wide)
            .collect();
        if self.rows.is_empty() {
            return String::new();
        }
        let width = |index: usize| {
            let cells = self.rows.iter().map(|row| row[index].chars().count());
            cells
                .chain([self.columns[index].head.len()])
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = shown.iter().map(|&index| width(index)).collect();
        let heads: Vec<&str> = self.columns.iter().map(|column| column.head).collect();
        let mut text = String::new();
        push_line(&mut text, &shown, &widths, &heads);
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            push_line(&mut text, &shown, &widths, &cells);
        }
        text
    }
}

fn push_line(text: &mut String, shown: &[usize], widths: &[usize], cells: &[&str]) {
    for (position, (&index, &width)) in shown.iter().zip(widths).enumerate() {
        let cell = if cells[index].is_empty() {
            "-"
        } else {
            cells[index]
        };
        text.push_str(cell);
        if position + 1 < shown.len() {
            let gap = width.saturating_sub(cell.chars().count()) + 3;
            text.extend(std::iter::repeat_n(' ', gap));
        }
    }
    text.push('\n');
}

/// Prints an object, or a list of objects, as JSON, YAML or by expression.
///
/// # Errors
/// When a JSONPath expression cannot be read.
pub(crate) fn print_document(document: &Value, format: &Format) -> Result<(), Failure> {
    match format {
        Format::Yaml => data(yaml::to_text(document)),
        Format::JsonPath(expression) => {
            let path = JsonPath::parse(expression).map_err(|reason| {
                Failure::usage(format!("cannot read jsonpath `{expression}`: {reason}"))
            })?;
            // Over a list the expression is applied to each item: one line per item.
            let one = std::slice::from_ref(document);
            for item in document.as_array().map_or(one, Vec::as_slice) {
                data(format_args!("{}\n", path.evaluate(item)));
            }
        }
        _ => data(format_args!("{document:#}\n")),
    }
    Ok(())
}

/// Whether the listing's status words should be coloured.
pub(crate) fn colour_on_stdout() -> bool {
    colour_wanted(&io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::new("NAME"),
        Column::wide("DIGEST"),
        Column::new("AGE"),
    ];

    fn listing() -> Listing {
        let mut listing = Listing::new("images", COLUMNS);
        listing.push(
            "debian:12",
            vec!["debian:12".into(), "sha256:1".into(), "3d".into()],
            serde_json::json!({"name": "debian:12"}),
        );
        listing.push(
            "b",
            vec!["b".into(), "sha256:2".into(), String::new()],
            serde_json::json!({"name": "b"}),
        );
        listing
    }

    #[test]
    fn a_table_has_capital_heads_and_no_trailing_spaces() {
        assert_eq!(
            listing().table(false),
            "NAME        AGE\ndebian:12   3d\nb           -\n"
        );
    }

    #[test]
    fn wide_shows_every_column() {
        assert!(
            listing()
                .table(true)
                .starts_with("NAME        DIGEST     AGE\n")
        );
    }

    #[test]
    fn formats_are_read_and_others_are_refused_with_the_list() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!(
            "jsonpath={.id}".parse(),
            Ok(Format::JsonPath("{.id}".into()))
        );
        assert!("xml".parse::<Format>().is_err_and(|e| e.contains("yaml")));
        assert!("jsonpath={.id".parse::<Format>().is_err());
    }
}
