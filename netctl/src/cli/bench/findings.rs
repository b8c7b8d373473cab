//! What limits a path, and what to do about it.

use serde::Serialize;

use crate::{
    bench::{Device, Kind, Outcome},
    model::Chosen,
};

/// The share of its time from which on a CPU counts as fully busy.
const FULL: f64 = 0.95;
/// The share of segments from which on it matters that they were sent again.
const RESENT: f64 = 0.001;
/// The share of packets from which on it matters that they went another way, or none.
const NOTABLE: f64 = 0.001;
/// The largest MTU without jumbo frames, in bytes.
const ORDINARY: u32 = 1500;
/// The usual MTU with them.
const JUMBO: u32 = 9000;

/// Something that was noticed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What it is.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
}

/// A counter of the data plane that moved.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) counter: String,
    pub(super) description: String,
    pub(super) drop: bool,
    pub(super) packets: u64,
}

/// What there was to see.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Of both hosts.
    pub(super) devices: Vec<Device>,
    pub(super) from: String,
    pub(super) to: String,
    /// Of the overlay.
    pub(super) outcomes: Vec<&'a Outcome>,
    pub(super) big_tcp: Chosen,
    pub(super) moved: Vec<Moved>,
}

/// All that was noticed, what matters most first.
pub(super) fn findings(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(dropped(seen));
    found.extend(handed_over(seen));
    found.extend(mtu(&seen.devices));
    found.extend(seen.devices.iter().filter_map(offloads));
    found.extend(resent(seen));
    found.extend(busy(seen));
    if !seen.big_tcp.on {
        found.push(Finding {
            what: format!("TCP packets of 192 KiB are off on {}: {}", seen.from, seen.big_tcp.why),
            advice: "where the underlay takes them, `netctl daemon --big-tcp on` has them anyhow"
                .to_owned(),
        });
    }
    found
}

fn dropped(seen: &Seen<'_>) -> Vec<Finding> {
    let drops = seen.moved.iter().filter(|moved| moved.drop && notable(moved, seen));
    let finding = |moved: &Moved| Finding {
        what: format!("{} packets were dropped on {}: {}", moved.packets, seen.from, moved.counter),
        advice: format!("{}; `netctl counters` tells whether it goes on", moved.description),
    };
    drops.map(finding).collect()
}

fn handed_over(seen: &Seen<'_>) -> Option<Finding> {
    let handed = |moved: &&Moved| moved.counter == "handed-over" && notable(moved, seen);
    let moved = seen.moved.iter().find(handed)?;
    Some(Finding {
        what: format!(
            "{} packets on {} went by the kernel's own vxlan device, which is slower",
            moved.packets, seen.from
        ),
        advice: "see which in ARCHITECTURE.md under \"The outer headers\"; underlay devices that merge UDP \
                 (`ethtool -K … rx-udp-gro-forwarding off`) or check its sums make more of them"
            .to_owned(),
    })
}

/// Whether a counter says something of the packets, or is but somebody's stray one.
fn notable(moved: &Moved, seen: &Seen<'_>) -> bool {
    let all: u64 = seen.moved.iter().map(|moved| moved.packets).sum();
    share(moved.packets, all) > NOTABLE
}

fn mtu(devices: &[Device]) -> Option<Finding> {
    let lowest = devices.iter().min_by_key(|device| device.mtu)?;
    let highest = devices.iter().max_by_key(|device| device.mtu)?;
    if lowest.mtu != highest.mtu {
        return Some(Finding {
            what: format!(
                "the underlay's MTU is {} on {}, but {} on {}",
                lowest.mtu, lowest.host, highest.mtu, highest.host
            ),
            advice: format!(
                "give {} of {} the MTU {}, or the other the lower one: what does not fit is lost",
                lowest.name, lowest.host, highest.mtu
            ),
        });
    }
    let jumbo = lowest.mtu <= ORDINARY && devices.iter().all(|device| device.max_mtu >= JUMBO);
    jumbo.then(|| Finding {
        what: format!("the underlay carries {} bytes a packet; its devices could {JUMBO}", lowest.mtu),
        advice: format!(
            "where every switch between the hosts does too: `ip link set {} mtu {JUMBO}` on each of them",
            lowest.name
        ),
    })
}

fn offloads(device: &Device) -> Option<Finding> {
    let Device { host, name, off, .. } = device;
    if off.is_empty() {
        return None;
    }
    let words: Vec<String> = off.iter().map(|word| format!("{word} on")).collect();
    Some(Finding {
        what: format!("{name} of {host} leaves to the CPU: {}", off.join(", ")),
        advice: format!("where its driver can: `ethtool -K {name} {}`", words.join(" ")),
    })
}

fn resent(seen: &Seen<'_>) -> Option<Finding> {
    let streams = seen.outcomes.iter().filter(|outcome| outcome.kind == Kind::TcpStream);
    let (mut resent, mut segments) = (0, 0);
    for outcome in streams {
        resent += outcome.retransmits.unwrap_or(0);
        segments += outcome.count / u64::from(outcome.segment.unwrap_or(ORDINARY).max(1));
    }
    (share(resent, segments) > RESENT).then(|| Finding {
        what: format!("{resent} of about {segments} TCP segments were lost and sent again"),
        advice: "look for drops on the way: `ip -s link`, `ethtool -S`, `nstat -az TcpRetransSegs`; larger rings \
                 (`ethtool -G`) help against short bursts"
            .to_owned(),
    })
}

/// The busiest CPU of each end while one stream ran: a stream cannot use more than one at each of its stages.
fn busy(seen: &Seen<'_>) -> Vec<Finding> {
    let streams = seen.outcomes.iter().filter(|outcome| outcome.kind == Kind::TcpStream);
    let (mut near, mut far) = (0.0_f64, 0.0_f64);
    for outcome in streams {
        near = near.max(outcome.client.busiest);
        far = far.max(outcome.server.busiest);
    }
    let full = [(&seen.from, near), (&seen.to, far)].into_iter().filter(|(_, busy)| *busy >= FULL);
    let finding = |(host, _): (&String, f64)| {
        Finding {
        what: format!("a CPU of {host} was fully busy with TCP"),
        advice: "more than this takes several streams on several CPUs: see that the card's queues are spread \
                 over them (`ethtool -l`, `/proc/interrupts`)"
            .to_owned(),
    }
    };
    full.map(finding).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share to a few digits")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests::outcome, *};

    fn device(host: &str, mtu: u32, max_mtu: u32, off: &[&str]) -> Device {
        let off = off.iter().map(|word| (*word).to_owned()).collect();
        Device { host: host.to_owned(), name: "eth0".to_owned(), mtu, max_mtu, off }
    }

    fn moved(counter: &str, drop: bool, packets: u64) -> Moved {
        let description = format!("what {counter} means");
        Moved { counter: counter.to_owned(), description, drop, packets }
    }

    fn seen(devices: Vec<Device>, outcomes: Vec<&Outcome>, moved: Vec<Moved>) -> Seen<'_> {
        let big_tcp = Chosen { on: true, why: "it is on".to_owned() };
        Seen { devices, from: "h1".to_owned(), to: "h2".to_owned(), outcomes, big_tcp, moved }
    }

    #[test]
    fn a_path_without_faults_has_none() {
        let good = outcome(Kind::TcpStream, 1e10);
        let devices = vec![device("h1", 9000, 9000, &[]), device("h2", 9000, 9000, &[])];
        let counted = vec![moved("to-underlay", false, 1_000_000), moved("unknown-vni", true, 3)];
        assert_eq!(findings(&seen(devices, vec![&good], counted)), []);
    }

    #[test]
    fn each_limit_is_named_with_its_host_and_what_to_do() {
        let mut bad = outcome(Kind::TcpStream, 1e10);
        bad.count = 1398 * 1000;
        bad.retransmits = Some(10);
        bad.client.busiest = 0.99;
        let cases: [(Seen<'_>, &str, &str); 8] = [
            (
                seen(
                    vec![device("h1", 1500, 9000, &[]), device("h2", 9000, 9000, &[])],
                    vec![],
                    vec![],
                ),
                "the underlay's MTU is 1500 on h1, but 9000 on h2",
                "give eth0 of h1 the MTU 9000",
            ),
            (
                seen(
                    vec![device("h1", 1500, 9216, &[]), device("h2", 1500, 9000, &[])],
                    vec![],
                    vec![],
                ),
                "the underlay carries 1500 bytes a packet; its devices could 9000",
                "`ip link set eth0 mtu 9000`",
            ),
            (
                seen(vec![device("h2", 9000, 0, &["tso", "gro"])], vec![], vec![]),
                "eth0 of h2 leaves to the CPU: tso, gro",
                "`ethtool -K eth0 tso on gro on`",
            ),
            (seen(vec![], vec![&bad], vec![]), "10 of about 1000 TCP segments", "`ip -s link`"),
            (seen(vec![], vec![&bad], vec![]), "a CPU of h1 was fully busy", "several streams"),
            (
                seen(vec![], vec![], vec![moved("handed-over", false, 10)]),
                "10 packets on h1 went by the kernel's own vxlan device",
                "ARCHITECTURE.md",
            ),
            (
                seen(vec![], vec![], vec![moved("too-big", true, 10)]),
                "10 packets were dropped on h1: too-big",
                "what too-big means",
            ),
            (
                Seen {
                    big_tcp: Chosen { on: false, why: "switched off".to_owned() },
                    ..seen(vec![], vec![], vec![])
                },
                "TCP packets of 192 KiB are off on h1: switched off",
                "--big-tcp on",
            ),
        ];
        for (seen, what, advice) in cases {
            let found = findings(&seen);
            let named = found.iter().any(|f| f.what.contains(what) && f.advice.contains(advice));
            assert!(named, "{what}: {found:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_found() {
        // A driver that does not say what it takes; a jumbo underlay already.
        for devices in [
            vec![device("h1", 1500, 0, &[]), device("h2", 1500, 9000, &[])],
            vec![device("h1", 9000, 9000, &[]), device("h2", 9000, 9000, &[])],
            vec![],
        ] {
            assert_eq!(findings(&seen(devices, vec![], vec![])), []);
        }
    }
}
