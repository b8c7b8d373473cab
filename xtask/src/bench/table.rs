//! The results for a person at a terminal.

use super::figure::{Better, Figure};
use super::report::{Report, columns};
use super::rig::Scene;
use super::sampling::Sampling;
use crate::say;

/// Prints the medians with ratios, then how far the values lay apart.
pub(super) fn show(report: &Report) {
    if report.disturbed > 0 {
        out!(
            "\n{} other work kept the machine busy before {} loads: do not trust these",
            say::bad("warning:"),
            report.disturbed
        );
    }
    for scene in Scene::ALL {
        let figures: Vec<&Figure> =
            report.figures.iter().copied().filter(|f| f.load.scene() == scene).collect();
        let Some(first) = figures.first() else { continue };
        let paths: Vec<&str> = columns(first.load).collect();
        let Sampling { rounds, seconds } = report.sampling;
        let of = format!("medians of {rounds} rounds of {seconds} s");
        out!("\n{} ({of})", say::strong(scene.title()));
        print(&medians(report, &figures, &paths, scene.beside()));
        out!("\n{}", say::strong("Half the range from lowest to highest, of the median"));
        print(&spreads(report, &figures, &paths));
    }
    for note in &report.notes {
        out!("\n{}", say::faint(note));
    }
}

pub(super) type Row = Vec<String>;

fn head(paths: &[&str], more: impl IntoIterator<Item = String>) -> Row {
    let names = ["FIGURE", "UNIT"].into_iter().map(str::to_owned);
    names.chain(paths.iter().map(|path| (*path).to_owned())).chain(more).collect()
}

fn medians(report: &Report, figures: &[&Figure], paths: &[&str], beside: &[&str]) -> Vec<Row> {
    let ratios = beside.iter().map(|path| format!("netctl/{path}"));
    let mut rows = vec![head(paths, ratios)];
    for figure in figures {
        let less = if figure.better == Better::Less { " (less is better)" } else { "" };
        let mut row = vec![figure.name.to_owned(), format!("{}{less}", figure.unit)];
        row.extend(paths.iter().map(|path| {
            report.spread(figure, path).map_or_else(absent, |spread| number(spread.median))
        }));
        row.extend(beside.iter().map(|path| {
            report.ratio(figure, path).map_or_else(absent, |ratio| format!("{ratio:.2}"))
        }));
        rows.push(row);
    }
    rows
}

fn spreads(report: &Report, figures: &[&Figure], paths: &[&str]) -> Vec<Row> {
    let mut rows = vec![head(paths, [])];
    for figure in figures {
        let mut row = vec![figure.name.to_owned(), String::new()];
        row.extend(paths.iter().map(|path| {
            let spread = report.spread(figure, path);
            spread.map_or_else(absent, |spread| format!("{:.1} %", spread.relative() * 100.0))
        }));
        rows.push(row);
    }
    rows
}

fn absent() -> String {
    "-".to_owned()
}

/// The two first columns to the left, all others to the right.
pub(super) fn print(rows: &[Row]) {
    for line in lines(rows) {
        out!("  {line}");
    }
}

fn lines(rows: &[Row]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..count).map(|column| wide(column).unwrap_or(0)).collect();
    let line = |row: &Row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// With as many digits as matter.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn medians_and_ratios_stand_below_their_paths() {
        let report = sample();
        let figures: Vec<&Figure> =
            report.figures.iter().copied().filter(|f| f.load.scene() == Scene::Hosts).collect();
        let paths = ["routed", "docker_overlay", "netctl"];
        let found = lines(&medians(&report, &figures, &paths, &["routed"]));
        assert_eq!(
            found,
            [
                "FIGURE          UNIT                        routed  docker_overlay       netctl  netctl/routed",
                "tcp_stream_1    Gb/s                          10.5               -         15.5           1.48",
                "cpu_s_per_gbit  s/Gb (less is better)       0.1909               -       0.1292           0.68",
                "tcp_rr          1/s                    10500000000               -  15500000000           1.48",
            ]
        );
        let found = lines(&spreads(&report, &figures, &paths));
        assert_eq!(
            found.get(1).map(String::as_str),
            Some("tcp_stream_1           4.8 %               -   3.2 %")
        );
    }

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, text) in
            [(0.04321, "0.0432"), (1.234, "1.23"), (12.34, "12.3"), (1e5, "100000")]
        {
            assert_eq!(number(value), text);
        }
    }
}
