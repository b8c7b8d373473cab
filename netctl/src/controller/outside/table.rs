//! The table as it stands in the kernel, and changing it by what is missing and what is too much.

use std::{fmt::Write as _, net::IpAddr};

use serde_json::Value;

use super::{elements::Elements, forwarding::Lending};
use crate::{
    dataplane::Sweep,
    kernel::{self, Flow, FlowEnd, Netns},
    model::Transport,
};

const LAYOUT: &str = include_str!("layout.nft");
const STRUCTURE: &[&str] = &["--terse", "list", "table", "inet", "netctl"];
const ELEMENTS: &[&str] = &["--json", "list", "table", "inet", "netctl"];
/// Maps from what is asked for to whom it is for.
const MAPS: [&str; 4] = ["any4", "any6", "at4", "at6"];

/// What is known of the table.
#[derive(Debug, Default)]
pub(super) struct Table {
    known: Option<Known>,
    /// How `nft` printed the rules after they were made: newer ones may print them in another way than is written.
    printed: Option<String>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether it stands, with the rules that it is to have.
    stands: bool,
    /// Whether it stands with others.
    damaged: bool,
    elements: Elements,
    without_lent: Elements,
}

/// What changed of where flows are led.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Nobody is led there any more.
    gone: Vec<FlowEnd>,
    /// What is asked for there is led on from now on; the address is unspecified where it is any of the host's.
    new: Vec<FlowEnd>,
}

impl Change {
    /// Whether flows of this family may be others from now on.
    pub(super) fn moves_flows(&self, v6: bool) -> bool {
        self.gone.iter().chain(&self.new).any(|end| end.address.is_ipv6() == v6)
    }

    /// Whether a flow is led elsewhere than it would be if it began now.
    pub(super) fn ends(&self, flow: &Flow) -> bool {
        let Flow { asked, answering } = flow;
        let is_new = |end: &FlowEnd| {
            let FlowEnd { address, protocol, port } = *end;
            (protocol, port) == (asked.protocol, asked.port)
                && (address == asked.address || address.is_unspecified())
                && asked == answering
        };
        self.gone.contains(answering) && asked != answering || self.new.iter().any(is_new)
    }
}

impl Table {
    /// Has the next look be one at the kernel.
    pub(super) fn doubt(&mut self) {
        self.known = None;
    }

    /// Whether it may stand in the kernel, as far as is known.
    pub(super) fn may_stand(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.stands || known.damaged)
    }

    /// Whether it is known to stand with the rules that it is to have.
    pub(super) fn stands(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.stands)
    }

    /// Whether it is known not to.
    pub(super) fn lacks(&self) -> bool {
        self.known.as_ref().is_some_and(|known| !known.stands)
    }

    /// What it holds but for devices that are lent.
    pub(super) fn without_lent(&self) -> &Elements {
        static NONE: Elements = Elements::NONE;
        self.known.as_ref().map_or(&NONE, |known| &known.without_lent)
    }

    /// The devices that are lent.
    pub(super) fn lent(&self) -> Lending {
        self.known.as_ref().map(|known| Lending::of(&known.elements)).unwrap_or_default()
    }

    /// Looks at the kernel, unless what stands there is known.
    pub(super) async fn look(&mut self, netns: &Netns) -> Result<(), kernel::Error> {
        if self.known.is_some() {
            return Ok(());
        }
        let known = match netns.nft_list(STRUCTURE).await? {
            None => Known::default(),
            Some(structure) => {
                let listed = netns.nft_list(ELEMENTS).await?.unwrap_or_default();
                let stands = structure == layout() || Some(&structure) == self.printed.as_ref();
                Known::new(stands, !stands, read(&listed))
            }
        };
        self.known = Some(known);
        Ok(())
    }

    /// Has it hold what is wanted, and where `sweep` allows it nothing else.
    pub(super) async fn apply(
        &mut self,
        netns: &Netns,
        wanted: &Elements,
        sweep: Sweep,
    ) -> Result<Change, kernel::Error> {
        // Known is what stood before, until the change is made.
        let none = Known::default();
        let known = self.known.as_ref().unwrap_or(&none);
        let wanted = match sweep {
            Sweep::Remove => wanted.clone(),
            Sweep::Keep => kept(&known.elements, wanted),
        };
        let (script, change) = script(known, &wanted);
        let made = !known.stands && !wanted.is_empty();
        if !script.is_empty() {
            tracing::debug!(script, "nftables");
            netns.nft_change(script).await?;
            if made {
                self.printed = netns.nft_list(STRUCTURE).await?;
            }
        }
        self.known = Some(Known::new(!wanted.is_empty(), false, wanted));
        Ok(change)
    }
}

impl Known {
    fn new(stands: bool, damaged: bool, elements: Elements) -> Self {
        let mut without_lent = elements.clone();
        for set in Lending::sets() {
            without_lent.remove(set);
        }
        Self { stands, damaged, elements, without_lent }
    }
}

/// The table without what is said about it, as `nft` prints it.
/// Whether the table stands in `netns`, whether with other rules than it is to have, and what it holds.
pub(super) async fn seen(netns: &Netns) -> Result<(bool, bool, Elements), kernel::Error> {
    let Some(listed) = netns.nft_list(ELEMENTS).await? else {
        return Ok((false, false, Elements::default()));
    };
    // How `nft` prints a rule differs between its versions, but not how many there are.
    Ok((true, rules_in(&listed) != rules(), read(&listed)))
}

/// How many rules there are in what `nft --json list table` prints.
fn rules_in(listed: &str) -> usize {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    let objects = listed["nftables"].as_array().into_iter().flatten();
    objects.filter(|object| object.get("rule").is_some()).count()
}

/// How many rules the table is to have: the lines of its chains, but for what says what chains they are.
fn rules() -> usize {
    let chains = LAYOUT.split("\tchain ").skip(1).filter_map(|text| text.split("\n\t}").next());
    let lines = chains.flat_map(|chain| chain.lines().skip(1));
    lines.filter(|line| !line.trim().is_empty() && !line.contains(" hook ")).count()
}

fn layout() -> String {
    LAYOUT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// What is wanted, and of what stands all that does not contradict it.
fn kept(standing: &Elements, wanted: &Elements) -> Elements {
    let mut kept = wanted.clone();
    for (set, element) in standing.all() {
        if !wanted.of(set).any(|other| key(other) == key(element)) {
            kept.add(set, element.to_owned());
        }
    }
    kept
}

/// What of an element of a map leads to the rest; all of another.
fn key(element: &str) -> &str {
    element.split_once(" : ").map_or(element, |(key, _)| key)
}

/// What makes the table hold what is wanted, at one moment.
fn script(known: &Known, wanted: &Elements) -> (String, Change) {
    let mut script = String::new();
    let mut change = Change::default();
    if wanted.is_empty() && !(known.stands || known.damaged) {
        return (script, change);
    }
    // All of it in one transaction: no packet meets a table that is half there.
    if !known.stands && known.damaged || wanted.is_empty() {
        script.push_str("delete table inet netctl\n");
    }
    if !known.stands && !wanted.is_empty() {
        script.push_str(&layout());
    }
    for (set, element) in known.elements.all().filter(|(set, e)| !wanted.contains(set, e)) {
        if known.stands && !wanted.is_empty() {
            line(&mut script, "delete", set, key(element));
        }
        change.gone.extend(MAPS.contains(&set).then(|| answering(element)).flatten());
    }
    let added = wanted.all().filter(|(set, e)| !(known.stands && known.elements.contains(set, e)));
    for (set, element) in added {
        line(&mut script, "add", set, element);
        change.new.extend(MAPS.contains(&set).then(|| asked(set, element)).flatten());
    }
    (script, change)
}

fn line(script: &mut String, verb: &str, set: &str, element: &str) {
    writeln!(script, "{verb} element inet netctl {set} {{ {element} }}")
        .expect("a text can be written to");
}

/// The end that answers to what an element of a map leads there.
fn answering(element: &str) -> Option<FlowEnd> {
    let (asked, answering) = element.split_once(" : ")?;
    let (address, port) = answering.split_once(" . ")?;
    let transport = asked.rsplit(" . ").nth(1)?;
    end(address.parse().ok()?, transport, port)
}

/// What is asked for that an element of a map leads elsewhere.
fn asked(map: &str, element: &str) -> Option<FlowEnd> {
    let mut parts = key(element).rsplit(" . ");
    let (port, transport) = (parts.next()?, parts.next()?);
    let any = if map.ends_with('6') { IpAddr::from([0; 16]) } else { IpAddr::from([0; 4]) };
    let address = parts.next().map_or(Some(any), |address| address.parse().ok())?;
    end(address, transport, port)
}

fn end(address: IpAddr, transport: &str, port: &str) -> Option<FlowEnd> {
    let protocol = transport.parse::<Transport>().ok()?.number();
    Some(FlowEnd { address, protocol, port: port.parse().ok()? })
}

/// The elements in what `nft --json list table` prints, each as it is written.
fn read(listed: &str) -> Elements {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    let mut elements = Elements::default();
    for object in listed["nftables"].as_array().into_iter().flatten() {
        let of_set = object.get("set").or_else(|| object.get("map"));
        let Some((Some(name), Some(all))) =
            of_set.map(|set| (set["name"].as_str(), set["elem"].as_array()))
        else {
            continue;
        };
        for element in all {
            elements.add(name, written(element));
        }
    }
    elements
}

fn written(element: &Value) -> String {
    let joined =
        |parts: &[Value], separator| parts.iter().map(written).collect::<Vec<_>>().join(separator);
    match (element, element["concat"].as_array()) {
        (_, Some(parts)) => joined(parts, " . "),
        (Value::Array(pair), None) => joined(pair, " : "),
        (Value::String(text), None) => text.clone(),
        (other, None) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(all: &[(&str, &str)]) -> Elements {
        let mut elements = Elements::default();
        for (set, element) in all {
            elements.add(set, (*element).to_owned());
        }
        elements
    }

    fn end(address: &str, protocol: u8, port: u16) -> FlowEnd {
        FlowEnd { address: address.parse().expect("an address"), protocol, port }
    }

    #[test]
    fn elements_are_read_as_they_are_written() {
        let listed = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "out", "elem": ["nh-1", "nh-2"]}},
            {"set": {"name": "within", "elem": [{"concat": ["nh-1", "nh-1"]}]}},
            {"set": {"name": "lent4"}},
            {"map": {"name": "any4", "elem": [[{"concat": ["tcp", 80]}, {"concat": ["10.1.0.2", 8080]}]]}}]}"#;
        assert_eq!(
            read(listed),
            elements(&[
                ("out", "nh-1"),
                ("out", "nh-2"),
                ("within", "nh-1 . nh-1"),
                ("any4", "tcp . 80 : 10.1.0.2 . 8080"),
            ])
        );
        assert_eq!(read("nonsense"), Elements::default());
    }

    #[test]
    fn a_change_is_what_differs() {
        let old = elements(&[("out", "nh-1"), ("any4", "tcp . 80 : 10.1.0.2 . 80")]);
        let new = elements(&[("out", "nh-1"), ("any4", "tcp . 80 : 10.1.0.3 . 80")]);
        let standing = Known::new(true, false, old.clone());
        let (text, change) = script(&standing, &new);
        assert_eq!(
            text,
            "delete element inet netctl any4 { tcp . 80 }\n\
             add element inet netctl any4 { tcp . 80 : 10.1.0.3 . 80 }\n"
        );
        assert_eq!(change.gone, [end("10.1.0.2", 6, 80)]);
        assert_eq!(change.new, [end("0.0.0.0", 6, 80)]);
        assert_eq!(script(&standing, &old).0, "");

        // Rules that others changed are made anew, all with what they are to hold.
        let (text, _) = script(&Known::new(false, true, old), &new);
        assert!(text.starts_with("delete table inet netctl\ntable inet netctl {\n"), "{text}");
        assert!(text.ends_with("add element inet netctl out { nh-1 }\n"), "{text}");
        let (text, _) = script(&standing, &Elements::default());
        assert_eq!(text, "delete table inet netctl\n");
        assert_eq!(script(&Known::default(), &Elements::default()).0, "");
    }

    #[test]
    fn what_stands_is_kept_unless_it_contradicts() {
        let standing = elements(&[("any4", "tcp . 80 : 10.1.0.2 . 80"), ("out", "nh-1")]);
        let wanted = elements(&[("any4", "tcp . 80 : 10.1.0.3 . 80"), ("out", "nh-2")]);
        assert_eq!(
            kept(&standing, &wanted),
            elements(&[("any4", "tcp . 80 : 10.1.0.3 . 80"), ("out", "nh-1"), ("out", "nh-2")])
        );
    }

    #[test]
    fn flows_end_that_would_be_led_elsewhere() {
        let change =
            Change { gone: vec![end("10.1.0.2", 17, 53)], new: vec![end("0.0.0.0", 17, 5353)] };
        let flow = |asked, answering| Flow { asked, answering };
        let host = end("192.0.2.1", 17, 53);
        for (flow, ends) in [
            (flow(host, end("10.1.0.2", 17, 53)), true),
            (flow(host, end("10.1.0.3", 17, 53)), false),
            (flow(host, end("10.1.0.2", 6, 53)), false),
            // Straight to it, as from another container.
            (flow(end("10.1.0.2", 17, 53), end("10.1.0.2", 17, 53)), false),
            (flow(end("192.0.2.1", 17, 5353), end("192.0.2.1", 17, 5353)), true),
            (flow(end("192.0.2.1", 17, 5353), end("10.1.0.9", 17, 5353)), false),
        ] {
            assert_eq!(change.ends(&flow), ends, "{flow:?}");
        }
        assert!(change.moves_flows(false) && !change.moves_flows(true));
    }
}
