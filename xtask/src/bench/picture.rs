//! The results as a picture (SVG 1.1): each figure on netctl's path as so many times that on the
//! kernel's bridge and vxlan devices, and where the other paths lie.
//!
//! Its colours are readable on light and dark backgrounds, and follow the reader's preference.

use std::fmt::Write as _;

use super::figure::{Better, Figure};
use super::report::Report;
use super::sampling::Sampling;

/// In pixels: the names' column, the bars' place, and each row.
const LEFT: f64 = 300.0;
const WIDTH: f64 = 520.0;
const RIGHT: f64 = 80.0;
const ROW: f64 = 30.0;
const TOP: f64 = 84.0;
const BAR: f64 = 15.0;

/// What is marked beside netctl's bar, with the sign for it.
const MARKED: [(&str, &str, &str); 4] = [
    ("underlay", "bare underlay", "underlay"),
    ("routed", "routed, no overlay", "routed"),
    ("flow_vxlan", "flow-based vxlan with eBPF", "flow"),
    ("docker_overlay", "Docker's overlay", "docker"),
];

const STYLE: &str = "\
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f }\n\
    .faint { fill: #6e7781; font-size: 12px }\n\
    .strong { font-weight: 600 }\n\
    .bar { fill: #0f7b6c }\n\
    .one { stroke: #6e7781; stroke-width: 1.5 }\n\
    .grid { stroke: #6e7781; stroke-opacity: .25 }\n\
    .underlay { fill: none; stroke: #6e7781; stroke-width: 2 }\n\
    .routed { fill: #b35900 } .flow { fill: #8250df } .docker { fill: #0969da }\n\
    .routed, .flow, .docker { stroke: #ffffff }\n\
    .value { font-weight: 600; fill: #ffffff }\n\
    @media (prefers-color-scheme: dark) {\n\
      text { fill: #e6edf3 } .faint { fill: #9198a1 } .bar { fill: #2bb39f }\n\
      .one { stroke: #9198a1 } .grid { stroke: #9198a1 } .underlay { stroke: #9198a1 }\n\
      .routed { fill: #f0883e } .flow { fill: #bc8cff } .docker { fill: #58a6ff }\n\
      .routed, .flow, .docker { stroke: #0d1117 } .value { fill: #0d1117 }\n\
    }\n";

/// One figure: what is better lies further to the right.
struct Line<'a> {
    figure: &'a Figure,
    netctl: f64,
    marks: Vec<(&'static str, f64)>,
}

/// Draws the figures that were taken on both the kernel's path and netctl's.
pub(super) fn draw(report: &Report) -> String {
    let lines: Vec<Line<'_>> =
        report.figures.iter().filter_map(|figure| line(report, figure)).collect();
    let all = lines.iter().flat_map(|l| l.marks.iter().map(|(_, at)| *at).chain([l.netctl]));
    let most = (all.fold(1.0, f64::max) * 4.0).ceil() / 4.0 + 0.1;
    let x = |ratio: f64| LEFT + WIDTH * ratio / most;
    #[expect(clippy::cast_precision_loss, reason = "some dozen figures")]
    let bottom = TOP + ROW * lines.len() as f64;
    let (width, height) = (LEFT + WIDTH + RIGHT, bottom + 40.0);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>netctl beside the kernel's bridge and vxlan devices</title>\n<style>\n{STYLE}</style>\n"
    );
    text(&mut svg, 12.0, 24.0, "strong", "netctl, as times the kernel's bridge + vxlan");
    let Sampling { rounds, seconds } = report.sampling;
    let rounds = format!(
        "container to container between two hosts; medians of {rounds} rounds of {seconds} s; further right is better"
    );
    text(&mut svg, 12.0, 44.0, "faint", &rounds);
    legend(&mut svg, report, &lines);

    let mut at = 0.0;
    while at < most {
        let (class, name) =
            if (at - 1.0_f64).abs() < 1e-9 { ("one", "kernel = 1") } else { ("grid", "") };
        let label = if name.is_empty() { format!("{at}") } else { name.to_owned() };
        put(
            &mut svg,
            &format!(
                "<line class=\"{class}\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{bottom}\"/>",
                x(at),
                TOP - 4.0
            ),
        );
        put(
            &mut svg,
            &format!(
                "<text class=\"faint\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{}\">{label}</text>",
                x(at),
                bottom + 18.0
            ),
        );
        at += 0.5;
    }
    let mut y = TOP;
    for line in &lines {
        row(&mut svg, line, y, &x);
        y += ROW;
    }
    svg + "</svg>\n"
}

fn line<'a>(report: &Report, figure: &'a Figure) -> Option<Line<'a>> {
    let kernel = report.spread(figure, "kernel_vxlan")?.median;
    let times = |path: &str| {
        let own = report.spread(figure, path)?.median;
        Some(if figure.better == Better::Less { kernel / own } else { own / kernel })
    };
    let marks = MARKED.iter().filter_map(|(path, _, class)| Some((*class, times(path)?)));
    Some(Line { figure, netctl: times("netctl")?, marks: marks.collect() })
}

fn row(svg: &mut String, line: &Line<'_>, y: f64, x: &impl Fn(f64) -> f64) {
    let middle = y + ROW / 2.0;
    let less = if line.figure.better == Better::Less { " (inverse)" } else { "" };
    let title = format!("{}{less}", line.figure.title);
    put(
        svg,
        &format!(
            "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 10.0,
            middle + 4.5,
            escaped(&title)
        ),
    );
    put(
        svg,
        &format!(
            "<rect class=\"bar\" rx=\"2\" x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{BAR}\"/>",
            x(0.0),
            middle - BAR / 2.0,
            x(line.netctl) - x(0.0)
        ),
    );
    for (class, at) in &line.marks {
        put(svg, &mark(class, x(*at), middle));
    }
    let label = format!("{:.2}×", line.netctl);
    text(svg, x(0.0) + 8.0, middle + 4.5, "value", &label);
}

/// A sign of its own for each path: colour alone tells not everybody.
fn mark(class: &str, x: f64, y: f64) -> String {
    match class {
        "underlay" => format!("<circle class=\"underlay\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4.5\"/>"),
        "routed" => {
            format!("<path class=\"routed\" d=\"M{x:.1} {} l6 6 l-6 6 l-6 -6 z\"/>", y - 6.0)
        }
        "flow" => format!(
            "<rect class=\"flow\" x=\"{:.1}\" y=\"{}\" width=\"9\" height=\"9\"/>",
            x - 4.5,
            y - 4.5
        ),
        _ => format!("<path class=\"docker\" d=\"M{x:.1} {} l6 11 h-12 z\"/>", y - 6.0),
    }
}

/// Only what is in the picture.
fn legend(svg: &mut String, report: &Report, lines: &[Line<'_>]) {
    let mut x = 12.0;
    put(
        svg,
        &format!("<rect class=\"bar\" rx=\"2\" x=\"{x}\" y=\"57\" width=\"22\" height=\"11\"/>"),
    );
    text(svg, x + 28.0, 67.0, "faint", "netctl");
    x += 84.0;
    for (path, name, class) in MARKED {
        let shown = lines.iter().any(|line| report.spread(line.figure, path).is_some());
        if shown {
            put(svg, &mark(class, x + 6.0, 62.5));
            text(svg, x + 18.0, 67.0, "faint", name);
            #[expect(clippy::cast_precision_loss, reason = "a few letters")]
            let wide = name.len() as f64 * 6.6;
            x += 34.0 + wide;
        }
    }
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = escaped(words);
    put(svg, &format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"));
}

fn put(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").unwrap_or_default();
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn a_bar_for_each_figure_between_hosts_and_signs_for_what_was_measured() {
        let svg = draw(&sample());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        // The legend's, and one for each figure; that of one host has no kernel path.
        assert_eq!(svg.matches("<rect class=\"bar\"").count(), 1 + 3);
        assert_eq!(svg.matches("class=\"routed\"").count(), 1 + 3);
        assert!(!svg.contains("class=\"docker\" d="), "no engine was there");
        // 15.5 to 10.5; for CPU time the other way round.
        assert_eq!(svg.matches(">1.48×<").count(), 3, "{svg}");
    }

    #[test]
    fn what_is_no_markup_stays_none() {
        assert_eq!(escaped("a < b & c"), "a &lt; b &amp; c");
    }
}
