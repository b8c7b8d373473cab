//! Which packets are captured: expressions of pcap-filter(7), compiled by tcpdump for the kernel.

use std::{fmt::Write as _, io, process::Stdio};

use nix::libc::sock_filter;
use tokio::process::Command;

use super::Error;
use crate::{
    kernel::PacketFilter,
    model::{MacAddr, Vni},
};

/// `BPF_RET | BPF_K` of `linux/bpf_common.h`: take so many bytes of the packet.
const RETURN: u16 = 0x06;

/// What is captured of tunnels between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnelled {
    /// The UDP port of VXLAN.
    pub port: u16,
    /// Packets of this network alone.
    pub vni: Option<Vni>,
    /// Packets from or to this station alone.
    pub station: Option<MacAddr>,
}

/// An expression, and how much of a packet is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The expression; empty where all packets are.
    pub expression: String,
    /// So many bytes of each.
    pub snaplen: u32,
}

impl Filter {
    /// What people said, about packets as they are on the interface.
    pub fn new(expression: &str, snaplen: u32) -> Self {
        Self { expression: expression.trim().to_owned(), snaplen }
    }

    /// The same, of packets in tunnels alone.
    #[must_use]
    pub fn within(self, tunnelled: Tunnelled) -> Self {
        let tunnels = tunnelled.expression();
        let expression = if self.expression.is_empty() {
            tunnels
        } else {
            format!("({tunnels}) and ({})", self.expression)
        };
        Self { expression, ..self }
    }

    /// The program for the kernel.
    ///
    /// # Errors
    /// [`Error::Filter`] with what people said, [`Error::NoTcpdump`].
    pub async fn compile(&self) -> Result<PacketFilter, Error> {
        if self.expression.is_empty() {
            return Ok(vec![sock_filter { code: RETURN, jt: 0, jf: 0, k: self.snaplen }]);
        }
        let snaplen = self.snaplen.to_string();
        // Without an interface, the program is for Ethernet.
        let compiled = Command::new("tcpdump")
            .args(["-ddd", "-y", "EN10MB", "-s", &snaplen, "--", &self.expression])
            .stdin(Stdio::null())
            .output()
            .await;
        let unusable = |reason: &str| {
            let expression = self.expression.clone();
            Error::Filter { expression, reason: reason.to_owned() }
        };
        match compiled {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoTcpdump),
            Err(error) => Err(unusable(&format!("tcpdump does not run: {error}"))),
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                read(&text).ok_or_else(|| unusable("tcpdump makes of it what is no program"))
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rfind(|line| !line.trim().is_empty());
                Err(unusable(reason(last.unwrap_or("tcpdump does not say why"))))
            }
        }
    }
}

/// What tcpdump says, without its own preliminaries.
fn reason(line: &str) -> &str {
    let line = line.strip_prefix("tcpdump: ").unwrap_or(line);
    line.strip_prefix("can't parse filter expression: ").unwrap_or(line)
}

/// Reads what `-ddd` prints: how many instructions there are, and one on each line.
fn read(text: &str) -> Option<PacketFilter> {
    let mut lines = text.lines();
    let count: usize = lines.next()?.trim().parse().ok()?;
    let instruction = |line: &str| {
        let mut numbers = line.split_whitespace();
        let instruction = sock_filter {
            code: numbers.next()?.parse().ok()?,
            jt: numbers.next()?.parse().ok()?,
            jf: numbers.next()?.parse().ok()?,
            k: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(instruction)
    };
    let program: PacketFilter = lines.map(instruction).collect::<Option<_>>()?;
    (program.len() == count && count > 0).then_some(program)
}

impl Tunnelled {
    /// The expression. What is behind the UDP header is looked at for each family by itself: `udp[…]` means IPv4.
    fn expression(self) -> String {
        let Self { port, vni, station } = self;
        if vni.is_none() && station.is_none() {
            return format!("udp port {port}");
        }
        let four = format!("ip and udp port {port}{}", behind("udp", 0, vni, station));
        let six = format!("ip6 and udp port {port}{}", behind("ip6", 40, vni, station));
        format!("({four}) or ({six})")
    }
}

/// What must stand in and behind the VXLAN header, where the UDP header stands `udp` bytes from what `base` means.
fn behind(base: &str, udp: usize, vni: Option<Vni>, station: Option<MacAddr>) -> String {
    let mut said = String::new();
    if let Some(vni) = vni {
        let (at, value) = (udp + 12, vni.get() << 8);
        // Writing to a string does not fail.
        let _fine = write!(said, " and {base}[{at}:4] & 0xffffff00 = {value:#x}");
    }
    if let Some(MacAddr([a, b, c, d, e, f])) = station {
        let (high, low) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]));
        let is =
            |at: usize| format!("{base}[{at}:4] = {high:#x} and {base}[{}:2] = {low:#x}", at + 4);
        let _fine = write!(said, " and ({} or {})", is(udp + 16), is(udp + 22));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_expression_becomes_a_program_or_a_sentence() {
        let all = Filter::new("  ", 96).compile().await.expect("no filter");
        assert_eq!((all.len(), all[0].code, all[0].k), (1, RETURN, 96));
        let some = Filter::new("tcp port 80", 96).compile().await.expect("a filter");
        assert!(some.len() > 5 && some.iter().any(|last| last.code == RETURN && last.k == 96));
        for (expression, reason) in [
            ("tcp prt 80", "syntax error"),
            ("host nowhere.invalid", "unknown host 'nowhere.invalid'"),
            ("port 70000", "illegal port number 70000 > 65535"),
        ] {
            let error = Filter::new(expression, 96).compile().await.expect_err(expression);
            assert_eq!(
                error.to_string(),
                format!(
                    "the filter {expression:?} is unusable: {reason}; pcap-filter(7) says how to write one"
                )
            );
        }
    }

    #[test]
    fn what_is_no_program_is_seen() {
        for text in
            ["", "x", "0\n", "2\n6 0 0 1\n", "1\n6 0 0\n", "1\n6 0 0 1 1\n", "1\n6 0 0 -1\n"]
        {
            assert!(read(text).is_none(), "{text:?}");
        }
        assert_eq!(read("1\n6 0 0 1\n").map(|program| program.len()), Some(1));
    }

    #[tokio::test]
    async fn what_is_said_of_tunnels_goes_with_what_people_say() {
        let all = Tunnelled { port: 4789, vni: None, station: None };
        assert_eq!(Filter::new("", 96).within(all).expression, "udp port 4789");
        let one = Tunnelled { vni: Vni::new(4097), ..all };
        let both = Filter::new("host 192.0.2.2", 96).within(one);
        assert_eq!(
            both.expression,
            "((ip and udp port 4789 and udp[12:4] & 0xffffff00 = 0x100100) or \
             (ip6 and udp port 4789 and ip6[52:4] & 0xffffff00 = 0x100100)) and (host 192.0.2.2)"
        );
        both.compile().await.expect("a filter");
        let station = Tunnelled { station: Some(MacAddr([2, 0, 0, 0, 0, 7])), ..one };
        let filter = Filter::new("", 96).within(station);
        assert!(
            filter.expression.contains("udp[16:4] = 0x2000000 and udp[20:2] = 0x7 or udp[22:4] ")
        );
        filter.compile().await.expect("a filter");
    }
}
