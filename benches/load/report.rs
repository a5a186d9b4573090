//! The results: a table for people, JSON for machines.

use std::path::Path;

use serde_json::{Value, json};

use super::machine;

/// One figure beside its limit and its floor.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// In what.
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// What it may be at most.
    pub(crate) target: Option<f64>,
    /// What the same requests and commands take, sent bare.
    pub(crate) floor: Option<f64>,
    /// What else was seen.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, target: None, floor: None, note: String::new() }
    }

    pub(crate) fn target(self, most: f64) -> Self {
        Self { target: Some(most), ..self }
    }

    pub(crate) fn floor(self, floor: Option<f64>) -> Self {
        Self { floor, ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// All figures of all runs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Each figure with its values, in the order in which they first came.
    rows: Vec<(Row, Vec<f64>)>,
    /// What must never be, and was.
    pub(crate) broken: Vec<String>,
    /// The build that is measured now, where it is not our own.
    pub(crate) build: Option<String>,
}

impl Report {
    /// Takes a figure, and shows it at once.
    pub(crate) fn row(&mut self, mut row: Row) {
        if let Some(build) = &self.build {
            row = Row { name: format!("{} [{build}]", row.name), target: None, ..row };
        }
        println!("{}", line(&row, &[row.value]));
        match self.rows.iter_mut().find(|(known, _)| known.name == row.name) {
            Some((known, values)) => {
                values.push(row.value);
                known.note = row.note;
                known.floor = row.floor.or(known.floor);
            }
            None => {
                let values = vec![row.value];
                self.rows.push((row, values));
            }
        }
    }

    /// Takes what is broken.
    pub(crate) fn breaks(&mut self, section: &str, broken: Vec<String>) {
        for what in broken {
            match &self.build {
                // Shown, but it is not this build that is judged.
                Some(build) => println!("  BROKEN {section} [{build}]: {what}"),
                None => {
                    println!("  BROKEN {section}: {what}");
                    self.broken.push(format!("{section}: {what}"));
                }
            }
        }
    }

    /// The table.
    pub(crate) fn print(&self) {
        println!("\n{HEAD}");
        for (row, values) in &self.rows {
            println!("{}", line(row, values));
        }
        match self.broken.len() {
            0 => println!("\nno invariant is broken"),
            n => println!("\n{n} BROKEN:\n{}", self.broken.join("\n")),
        }
    }

    /// Writes the JSON file.
    pub(crate) fn write(&self, path: &Path, quick: bool) -> std::io::Result<()> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(row, values)| {
                let (min, max) = ends(values);
                json!({
                    "name": row.name, "unit": row.unit, "values": values, "min": min, "max": max,
                    "target": row.target, "floor": row.floor,
                    "ratio": row.floor.filter(|f| *f > 0.0).map(|f| min / f), "note": row.note,
                })
            })
            .collect();
        let all = json!({
            "version": env!("CARGO_PKG_VERSION"), "quick": quick, "processors": machine::processors(),
            "rows": rows, "broken": self.broken,
        });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{all:#}\n"))
    }
}

/// The heads of the columns.
pub(crate) const HEAD: &str = "what                                            min        max unit             at most     floor  ratio  seen beside it";

fn ends(values: &[f64]) -> (f64, f64) {
    let fold = |f: fn(f64, f64) -> f64, from| values.iter().copied().fold(from, f);
    (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
}

fn number(n: f64) -> String {
    match n.abs() {
        _ if n == 0.0 => "0".into(),
        a if a >= 1_000.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        a if a >= 0.1 => format!("{n:.2}"),
        _ => format!("{n:.4}"),
    }
}

fn line(row: &Row, values: &[f64]) -> String {
    let (min, max) = ends(values);
    let maybe = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), number);
    let ratio = row.floor.filter(|f| *f > 0.0).map_or_else(|| "-".to_owned(), |f| format!("{:.1}", min / f));
    let missed = row.target.is_some_and(|most| max > most);
    let most = format!("{}{}", maybe(row.target), if missed { " !" } else { "" });
    format!(
        "{:<42} {:>9} {:>10} {:<16} {:>7} {:>9} {:>6}  {}",
        row.name,
        number(min),
        number(max),
        row.unit,
        most,
        maybe(row.floor),
        ratio,
        row.note
    )
}
