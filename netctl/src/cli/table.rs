//! Tables for people: aligned columns under a header.

use std::fmt;

use super::output::lines;

/// What is between two columns.
const GAP: usize = 3;

/// Rows of cells under a header.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    bold: bool,
}

impl Table {
    /// A table without rows, to add to.
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(ToOwned::to_owned).to_vec()], bold: false }
    }

    /// Adds a row; it has as many cells as the header.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Makes the header stand out on a terminal.
    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    fn width(&self, column: usize) -> usize {
        let widths = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
        widths.max().unwrap_or_default()
    }

    /// Columns of numbers are aligned to the right, as numbers are compared.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<u64>().is_ok())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let layout: Vec<_> =
            (0..columns).map(|column| (self.width(column), self.is_numeric(column))).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, (wide, numeric)) in row.iter().zip(&layout) {
                let fill = " ".repeat(wide - width(cell));
                let (before, after) = if *numeric { (&*fill, "") } else { ("", &*fill) };
                line.extend([before, cell, after, &" ".repeat(GAP)]);
            }
            let line = line.trim_end();
            match (number, self.bold) {
                (0, true) => writeln!(f, "\x1b[1m{line}\x1b[0m")?,
                _ => writeln!(f, "{line}")?,
            }
        }
        Ok(())
    }
}

/// Names with their values, a line each, values aligned.
pub(super) fn fields(fields: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let wide = fields.iter().map(|(name, _)| width(name) + 1).max().unwrap_or_default();
    lines(fields.into_iter().map(|(name, value)| format!("{:wide$}  {value}", format!("{name}:"))))
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let mut table = Table::new(["NAME", "SEEN", "NOTE"]);
        table.row(["ä".into(), "7".into(), String::new()]);
        table.row(["longer name".into(), "12345".into(), "x y".into()]);
        assert_eq!(
            table.to_string(),
            "NAME           SEEN   NOTE\nä                 7\nlonger name   12345   x y\n"
        );
    }

    #[test]
    fn fields_are_aligned() {
        let text = fields([("VNI", "7".to_owned()), ("Driver", "overlay".to_owned())]);
        assert_eq!(text, "VNI:     7\nDriver:  overlay\n");
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(Table::new(["A", "B"]).to_string(), "A   B\n");
        assert_eq!(Table::new(["A", "B"]).bold().to_string(), "\x1b[1mA   B\x1b[0m\n");
    }
}
