//! Rows and columns for a terminal.

use std::fmt::Write;

/// A text that comes from elsewhere, without what a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A table with its columns as wide as their widest cell; numbers are set to the right.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count());
        cells.chain([head[i].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[&str]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let right = !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
            // Writing to a String cannot fail.
            let _ = if right { write!(text, "{cell:>width$}  ") } else { write!(text, "{cell:<width$}  ") };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(head);
    line(
        &widths
            .iter()
            .map(|w| "-".repeat(*w))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    for row in &rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_commands_no_terminal() {
        let rows = [vec!["a\u{1b}[2J\nb".into()]];
        assert_eq!(table(&["name"], &rows), "name\n-------\na\u{fffd}[2J\u{fffd}b\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "12".into()], vec!["long".into(), "3".into()]];
        assert_eq!(
            table(&["id", "attempts"], &rows),
            "id    attempts\n----  --------\na           12\nlong         3\n"
        );
    }
}
