//! The host that the programs run on: a namespace with the devices of a [`crate::world`], and what leaves by them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testbed::{Netns, Run, Wire};

use crate::{
    object,
    path::Copy,
    world::{
        BESIDE_DEVICE, BRIDGE_DEVICE, HOST_B, HOST_C, HOST_D, HOST_DEVICE, HOST_PORT, LOCAL4,
        LOCAL6, NEAR_DEVICE, NETWORKS, STRAY, UNDERLAY, UNDERLAY_MAC, VXLAN,
    },
};

/// More than any packet here needs with its outer headers, so that nothing is cut.
const MTU: u32 = 9000;
/// How long a copy may take. It is there at once, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Place {
    run: Run,
    pub(crate) host: Netns,
    outside: Netns,
    /// The other ends of the host's devices, by the device at which a frame comes out there.
    wires: BTreeMap<u32, Wire>,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let run = Run::new()?;
        let host = Netns::new(run.dir(), "host")?;
        let outside = Netns::new(run.dir(), "outside")?;
        for netns in [&host, &outside] {
            // Nobody says anything unasked.
            netns.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        let out = outside.path().display().to_string();
        let mut wires = BTreeMap::new();
        let containers = ports().into_iter().filter(|port| other_side(*port) == *port);
        for device in containers.chain([STRAY, UNDERLAY]) {
            host.ip([pair(device, &format!("p{device}"), &format!("netns {out}"))])?;
            outside.ip([format!("link set p{device} up")])?;
            host.ip([format!("link set d{device} up")])?;
            wires.insert(device, Wire::tap_with_tags(&outside, &format!("p{device}"))?);
        }
        for port in ports().into_iter().filter(|port| other_side(*port) != *port) {
            let own = other_side(port);
            let peer = name(port);
            host.ip([
                pair(own, &peer, &format!("index {port}")),
                format!("link set d{own} up"),
                format!("link set {peer} up"),
            ])?;
            wires.insert(own, Wire::tap_with_tags(&host, &name(own))?);
        }
        reach_hosts(&host)?;
        Ok(Self { run, host, outside, wires })
    }

    /// What came out since the last call, once it is as many as expected, in order.
    pub(crate) fn copies(&self, expected: usize) -> Result<Vec<Copy>> {
        let end = Instant::now() + PATIENCE;
        let mut copies = Vec::new();
        loop {
            for (device, wire) in &self.wires {
                let frames = wire.receive(Duration::ZERO)?.into_iter();
                if *device == UNDERLAY {
                    copies.extend(frames.filter_map(|packet| tunnelled(&packet)));
                } else {
                    copies.extend(frames.map(|frame| Copy::Local(*device, frame)));
                }
            }
            if copies.len() >= expected || Instant::now() > end {
                copies.sort();
                return Ok(copies);
            }
            std::thread::yield_now();
        }
    }

    /// Lets a device receive a frame.
    pub(crate) fn send(&self, device: u32, frame: &[u8]) -> Result<()> {
        self.wires[&other_side(device)].send(frame)
    }

    pub(crate) fn end(self) -> Result<()> {
        drop((self.wires, self.host, self.outside));
        self.run.end()
    }
}

/// The devices of all endpoints.
pub(crate) fn ports() -> Vec<u32> {
    let devices = [NEAR_DEVICE, BESIDE_DEVICE, BRIDGE_DEVICE, HOST_PORT];
    NETWORKS.iter().flat_map(|(_, more)| devices.map(|device| device + more)).collect()
}

/// The device at which it comes out what a device sends: the host's own for its endpoint's, or else the same.
pub(crate) fn other_side(device: u32) -> u32 {
    let more = NETWORKS.iter().map(|(_, more)| *more).find(|more| HOST_PORT + more == device);
    more.map_or(device, |more| HOST_DEVICE + more)
}

/// The name of a device of the host.
pub(crate) fn name(device: u32) -> String {
    format!("d{device}")
}

/// Whether a copy comes out. The kernel drops a frame that is too short for the VLAN tag that its type promises
/// (`skb_vlan_untag`), and its vxlan device one that is too short for the IP header, behind VLAN tags too
/// (`skb_vlan_inet_prepare`).
pub(crate) fn comes_out(copy: &Copy) -> bool {
    match copy {
        Copy::Local(_, frame) => {
            let tagged = matches!(frame[12..14], [0x81, 0] | [0x88, 0xa8]);
            !tagged || frame.len() >= 20
        }
        Copy::Remote(_, _, frame) => has_ip_header(frame),
    }
}

fn has_ip_header(frame: &[u8]) -> bool {
    let mut place = 12;
    loop {
        match frame.get(place..place + 2) {
            Some([0x81, 0] | [0x88, 0xa8]) => place += 4,
            Some([0x08, 0]) => return frame.len() >= place + 2 + 20,
            Some([0x86, 0xdd]) => return frame.len() >= place + 2 + 40,
            Some(_) | None => return true,
        }
    }
}

/// A device with this index, with another end that is called `peer` and has these attributes.
fn pair(device: u32, peer: &str, attributes: &str) -> String {
    format!(
        "link add d{device} index {device} mtu {MTU} type veth peer name {peer} mtu {MTU} {attributes}"
    )
}

/// Makes other hosts reachable, so far as to send to them, and the vxlan device.
fn reach_hosts(host: &Netns) -> Result<()> {
    host.set_sysctl(&format!("net/ipv6/conf/d{UNDERLAY}/disable_ipv6"), "0")?;
    let mac = netctl_common::MacAddr(UNDERLAY_MAC);
    let (local4, local6) = (IpAddr::from(LOCAL4), IpAddr::from(LOCAL6));
    let mut words = vec![
        format!("link set d{UNDERLAY} address {mac}"),
        format!("addr add {local4}/24 dev d{UNDERLAY}"),
        format!("addr add {local6}/64 dev d{UNDERLAY} nodad"),
        format!(
            "link add d{VXLAN} index {VXLAN} type vxlan external dstport {} udp6zerocsumrx udp6zerocsumtx",
            object::PORT
        ),
        format!("link set d{VXLAN} mtu 65485 up"),
    ];
    for address in [HOST_B, HOST_C, HOST_D] {
        words.push(format!(
            "neigh add {address} lladdr 02:00:00:00:05:06 dev d{UNDERLAY} nud permanent"
        ));
    }
    host.ip(words).context("other hosts")
}

/// The frame in a packet that a tunnel carries; `None` of other packets, which the kernel sends of itself.
fn tunnelled(packet: &[u8]) -> Option<Copy> {
    let (header, to) = match packet.get(12..14)? {
        [0x08, 0x00] => (20, IpAddr::from(<[u8; 4]>::try_from(packet.get(30..34)?).ok()?)),
        [0x86, 0xdd] => (40, IpAddr::from(<[u8; 16]>::try_from(packet.get(38..54)?).ok()?)),
        _ => return None,
    };
    let udp = packet.get(14 + header..)?;
    if udp.get(2..4)? != object::PORT.to_be_bytes() {
        return None;
    }
    let vni = u32::from_be_bytes([0, *udp.get(12)?, *udp.get(13)?, *udp.get(14)?]);
    Some(Copy::Remote(to, vni, udp.get(16..)?.to_vec()))
}
