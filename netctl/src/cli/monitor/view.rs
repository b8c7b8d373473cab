//! An event as a line.

use crate::model::{EndView, EventView, PacketView};

/// What stands above the lines.
pub(super) const HEADER: &str = "\
TIME (UTC)        EVENT   REASON OR WAY           NETWORK      PACKET\n";

/// Drop reasons that are about a link-layer address.
const OF_SOURCE_MAC: [&str; 2] = ["source-mac", "inner-source"];
const OF_DESTINATION_MAC: [&str; 2] = ["unknown-destination", "not-local"];

/// Microseconds of a day.
const DAY: u64 = 86_400_000_000;

pub(super) fn text(event: &EventView) -> String {
    match event {
        EventView::Drop(packet) => line("drop", packet),
        EventView::Flow(packet) => line("flow", packet),
        EventView::Lost { events, slow_listener } => {
            let (were, why) = match (*events, *slow_listener) {
                (1, true) => ("event was", "they came faster than they were read here"),
                (_, true) => ("events were", "they came faster than they were read here"),
                (1, false) => ("event was", "there were more than the programs may tell"),
                (_, false) => ("events were", "there were more than the programs may tell"),
            };
            format!("{events} {were} lost: {why}\n")
        }
    }
}

fn line(what: &str, packet: &PacketView) -> String {
    let network = match (&packet.network, packet.vni) {
        (Some(network), _) => network.to_string(),
        (None, Some(vni)) => format!("vni {vni}"),
        (None, None) => "-".to_owned(),
    };
    let mut words = vec![
        time(packet.at_us),
        format!("{what:<7}"),
        format!("{:<23}", packet.outcome),
        format!("{network:<12}"),
        format!(
            "{} -> {}",
            end(&packet.source, OF_SOURCE_MAC.contains(&packet.outcome.as_str())),
            end(&packet.destination, OF_DESTINATION_MAC.contains(&packet.outcome.as_str())),
        ),
    ];
    let said = [&packet.protocol, &packet.detail];
    words.extend(said.into_iter().filter(|word| !word.is_empty()).cloned());
    words.push(format!("{} bytes", packet.bytes));
    words.extend(place(packet));
    words.join(" ") + "\n"
}

/// By which interface it came.
fn place(packet: &PacketView) -> Option<String> {
    let device = packet.device.as_ref()?;
    Some(match (&packet.sender, &packet.sandbox, packet.tunnel) {
        (Some(sender), Some(sandbox), _) => format!("by {device} of {sender} in {sandbox}"),
        (Some(sender), None, _) => format!("by {device} of {sender}"),
        (None, _, Some(tunnel)) => format!("by {device} from {}", tunnel.source),
        (None, _, None) => format!("by {device}"),
    })
}

/// One end; with its link-layer address where the reason is `of_mac`.
fn end(end: &EndView, of_mac: bool) -> String {
    let EndView { service, mac, address, port } = end;
    let name = match (service, address, mac) {
        (Some(service), ..) => service.clone(),
        (None, Some(address), _) if address.is_ipv6() && port.is_some() => format!("[{address}]"),
        (None, Some(address), _) => address.to_string(),
        (None, None, Some(mac)) => mac.clone(),
        (None, None, None) => "?".to_owned(),
    };
    let name = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    match mac {
        Some(mac) if of_mac && (service.is_some() || address.is_some()) => {
            format!("{name} ({mac})")
        }
        _ => name,
    }
}

/// The time of the day.
fn time(at_us: u64) -> String {
    let (seconds, micros) = (at_us % DAY / 1_000_000, at_us % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{micros:06}  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TunnelView;

    fn packet() -> PacketView {
        PacketView {
            at_us: 20_000 * DAY + 37_384_000_007,
            program: "from-container".to_owned(),
            outcome: "source-mac".to_owned(),
            description: "The source MAC is not the endpoint's own.".to_owned(),
            network: "dev".parse().ok(),
            vni: None,
            source: EndView {
                mac: Some("02:00:00:00:00:09".to_owned()),
                address: "10.0.0.9".parse().ok(),
                port: Some(5000),
                ..EndView::default()
            },
            destination: EndView {
                service: Some("web".to_owned()),
                port: Some(80),
                ..EndView::default()
            },
            protocol: "tcp".to_owned(),
            detail: "syn".to_owned(),
            bytes: 74,
            tunnel: None,
            device: Some("nc0123456789ab".to_owned()),
            sender: Some("app".to_owned()),
            sandbox: "box1".parse().ok(),
        }
    }

    #[test]
    fn an_event_is_a_line_below_its_headings() {
        let drop = text(&EventView::Drop(Box::new(packet())));
        assert_eq!(
            drop,
            "10:23:04.000007   drop    source-mac              dev          \
             10.0.0.9:5000 (02:00:00:00:00:09) -> web:80 tcp syn 74 bytes by nc0123456789ab of app in box1\n"
        );
        for (heading, word) in
            [("EVENT", "drop"), ("REASON", "source-mac"), ("NETWORK", "dev"), ("PACKET", "10.0")]
        {
            assert_eq!(HEADER.find(heading), drop.find(word), "{heading}");
        }
        let tunnelled = PacketView {
            network: None,
            vni: crate::model::Vni::new(7),
            source: EndView { mac: Some("02:00:00:00:00:01".to_owned()), ..EndView::default() },
            destination: EndView {
                address: "fd00::1".parse().ok(),
                port: Some(1),
                ..EndView::default()
            },
            protocol: String::new(),
            detail: String::new(),
            tunnel: Some(TunnelView {
                source: "192.0.2.1".parse().expect("an address"),
                destination: "192.0.2.2".parse().expect("an address"),
            }),
            device: Some("eth0".to_owned()),
            sender: None,
            sandbox: None,
            ..packet()
        };
        let line = text(&EventView::Flow(Box::new(tunnelled)));
        assert!(
            line.ends_with(
                " vni 7        02:00:00:00:00:01 -> [fd00::1]:1 74 bytes by eth0 from 192.0.2.1\n"
            ),
            "{line}"
        );
    }

    #[test]
    fn what_was_lost_is_counted_and_explained() {
        for (events, slow_listener, expected) in [
            (1, false, "1 event was lost: there were more than the programs may tell\n"),
            (7, false, "7 events were lost: there were more than the programs may tell\n"),
            (7, true, "7 events were lost: they came faster than they were read here\n"),
        ] {
            assert_eq!(text(&EventView::Lost { events, slow_listener }), expected);
        }
    }
}
