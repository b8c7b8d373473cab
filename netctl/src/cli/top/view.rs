//! What is shown, as text.

use super::{
    rates::{EndpointRate, Rate, Rates},
    screen::Size,
};
use crate::cli::table::Table;

/// The text of it; where it has to fit a terminal, those at the end give way.
pub(super) fn text(rates: &Rates, size: Option<Size>) -> String {
    let mut lines = vec![summary(rates), String::new()];
    let drops: Vec<String> = rates
        .drops
        .iter()
        .map(|own| {
            let (packets, description) = (packets(own.packets), &own.description);
            format!("dropped by {}: {packets}/s {}: {description}", own.program, own.reason)
        })
        .collect();
    let table = table(&rates.endpoints).to_string();
    let mut rows: Vec<String> = table.lines().map(ToOwned::to_owned).collect();
    if let Some(size) = size {
        // The header, two endpoints and a line on those that are left out are always worth more than drops.
        let room = size.lines.saturating_sub(lines.len() + 1);
        let most = room.saturating_sub(drops.len() + 1).max(4);
        if rows.len() > most {
            let left_out = rows.len() + 1 - most;
            rows.truncate(most - 1);
            rows.push(format!("… and {left_out} more"));
        }
    }
    lines.append(&mut rows);
    if !drops.is_empty() {
        lines.push(String::new());
        lines.extend(drops);
    }
    if let Some(size) = size {
        lines.truncate(size.lines.saturating_sub(1));
        lines.push("q quit, sort by: b bytes, p packets, d drops, n name".to_owned());
        for line in &mut lines {
            if let Some((end, _)) = line.char_indices().nth(size.columns) {
                line.truncate(end);
            }
        }
    }
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

fn summary(rates: &Rates) -> String {
    let sum = |of: fn(&EndpointRate) -> Rate| {
        rates.endpoints.iter().map(of).fold(Rate::default(), |sum, own| Rate {
            packets: sum.packets + own.packets,
            bytes: sum.bytes + own.bytes,
            dropped: sum.dropped + own.dropped,
        })
    };
    let (received, sent) = (sum(|own| own.received), sum(|own| own.sent));
    let dropped: f64 = rates.drops.iter().map(|own| own.packets).sum();
    format!(
        "{} {}, in {} and {}/s, out {} and {}/s, {} dropped/s",
        rates.endpoints.len(),
        if rates.endpoints.len() == 1 { "endpoint" } else { "endpoints" },
        bits(received.bytes),
        packets(received.packets),
        bits(sent.bytes),
        packets(sent.packets),
        packets(dropped + received.dropped + sent.dropped),
    )
}

fn table(endpoints: &[EndpointRate]) -> Table {
    let rates = ["IN", "PACKETS/S", "OUT", "PACKETS/S", "LOST/S"].map(right);
    let [input, received, output, sent, lost] = rates.each_ref().map(String::as_str);
    let header = ["SERVICE", "NETWORK", "SANDBOX", input, received, output, sent, lost];
    let mut table = Table::new(header);
    for own in endpoints {
        table.row([
            own.service.to_string(),
            own.network.to_string(),
            own.sandbox.short().to_owned(),
            right(&bits(own.received.bytes)),
            right(&packets(own.received.packets)),
            right(&bits(own.sent.bytes)),
            right(&packets(own.sent.packets)),
            right(&packets(own.received.dropped + own.sent.dropped)),
        ]);
    }
    table
}

/// As numbers stand, though their units differ.
fn right(cell: &str) -> String {
    format!("{cell:>9}")
}

/// Bytes a second as bits a second, which links are measured in.
fn bits(bytes: f64) -> String {
    let (value, unit) = scaled(bytes * 8.0);
    format!("{value} {unit}b/s")
}

fn packets(count: f64) -> String {
    let (value, unit) = scaled(count);
    format!("{value}{unit}")
}

/// To three digits, with the prefix of the unit.
fn scaled(value: f64) -> (String, &'static str) {
    let steps = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (value, unit) = steps
        .into_iter()
        .find(|(step, _)| value >= *step)
        .map_or((value, ""), |(step, unit)| (value / step, unit));
    let digits = if value == 0.0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    (format!("{value:.digits$}"), unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::top::rates::DropRate,
        model::{EndpointId, SandboxId},
    };

    fn rates(endpoints: usize) -> Rates {
        let rate = Rate { packets: 1500.0, bytes: 1_250_000.0, dropped: 0.5 };
        let endpoint = |number: usize| EndpointRate {
            network: "dev".parse().expect("a name"),
            service: format!("s{number}").parse().expect("a name"),
            id: EndpointId::random(),
            sandbox: SandboxId::random(),
            received: rate,
            sent: Rate::default(),
        };
        let drop = DropRate {
            program: "from-container".to_owned(),
            reason: "source-mac".to_owned(),
            description: "The source MAC is not the endpoint's own.".to_owned(),
            packets: 7.0,
        };
        Rates { seconds: 1.0, endpoints: (0..endpoints).map(endpoint).collect(), drops: vec![drop] }
    }

    #[test]
    fn it_is_a_table_with_a_sum_before_and_drops_behind() {
        let text = text(&rates(1), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "1 endpoint, in 10.0 Mb/s and 1.50k/s, out 0 b/s and 0/s, 7.50 dropped/s"
        );
        assert!(lines[2].starts_with("SERVICE   NETWORK   SANDBOX"), "{text}");
        assert!(lines[3].starts_with("s0        dev"), "{text}");
        assert!(
            lines[2].ends_with("       IN   PACKETS/S         OUT   PACKETS/S      LOST/S"),
            "{text}"
        );
        assert!(
            lines[3].ends_with("10.0 Mb/s       1.50k       0 b/s           0        0.50"),
            "{text}"
        );
        assert_eq!(
            lines[5],
            "dropped by from-container: 7.00/s source-mac: The source MAC is not the endpoint's own."
        );
    }

    #[test]
    fn it_fits_any_terminal() {
        for (lines, columns) in [(24, 80), (10, 40), (6, 20), (1, 1)] {
            let text = text(&rates(50), Some(Size { lines, columns }));
            assert!(text.lines().count() <= lines, "{lines}: {text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
        let text = text(&rates(50), Some(Size { lines: 24, columns: 100 }));
        assert!(text.contains("\n… and 33 more\n") && text.contains("source-mac"), "{text}");
    }
}
