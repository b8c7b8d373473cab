//! Containers on the kernel's flow-based vxlan device, driven by eBPF: `flow_vxlan.rs` among the
//! eBPF programs.
//!
//! ```text
//!   c1 ─ veth0: to_tunnel ─ vxlan0 ── h1 ── eth0 ── h2 ── vxlan0: from_tunnel ─ veth0 ─ c2
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use aya::maps::HashMap;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use testbed::{Netns, address};

use super::{Ends, Pair, Parts};
use crate::{ebpf, shell};

const VNI: u32 = 4096;

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    let object = ebpf::build(shell::root(), &shell::target()?).map_err(Error::msg)?;
    let object = object.with_file_name("flow-vxlan");
    let bytes = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
    let pair = Pair::new(dir, "flow")?;
    let containers = [Netns::new(dir, "flow-c1")?, Netns::new(dir, "flow-c2")?];
    let mut programs = Vec::new();
    let sides = pair.hosts.iter().zip(&containers);
    for ((host, container), (own, peer)) in sides.zip([(1, 2), (2, 1)]) {
        programs.push(side(host, container, own, peer, &bytes)?);
    }
    let [near, far] = containers;
    let address = "10.4.0.2".to_owned();
    Ok(Ends { near, far, address, parts: Parts::Programs(pair, programs) })
}

fn side(host: &Netns, container: &Netns, own: u8, peer: u8, object: &[u8]) -> Result<Ebpf> {
    host.ip([
        "link add vxlan0 type vxlan external dstport 4789".to_owned(),
        "link set vxlan0 mtu 1450 up".to_owned(),
        format!(
            "link add veth0 mtu 1450 type veth peer name eth0 mtu 1450 address {} netns {}",
            mac_text(own),
            container.path().display()
        ),
        "link set veth0 up".to_owned(),
    ])?;
    container.ip([
        format!("address add 10.4.0.{own}/24 dev eth0"),
        "link set eth0 up".to_owned(),
        format!("neigh replace 10.4.0.{peer} lladdr {} dev eth0 nud permanent", mac_text(peer)),
    ])?;
    host.within(|| load(own, peer, object))
        .with_context(|| format!("the programs of flow_vxlan on {}", host.name()))
}

/// Loads, fills and attaches, in the host's namespace.
fn load(own: u8, peer: u8, object: &[u8]) -> Result<Ebpf> {
    let index = |name: &str| -> Result<u32> {
        nix::net::if_::if_nametoindex(name).with_context(|| format!("there is no {name}"))
    };
    let (vxlan, veth) = (index("vxlan0")?, index("veth0")?);
    let mut ebpf = EbpfLoader::new()
        .override_global("VNI", &VNI, true)
        .override_global("VXLAN_IFINDEX", &vxlan, true)
        .load(object)?;
    let mut stations: HashMap<_, [u32; 3], [u32; 2]> =
        ebpf.map_mut("STATIONS").context("it has no map STATIONS")?.try_into()?;
    stations.insert(key(own), [veth, 0], 0)?;
    stations.insert(key(peer), [0, tunnel_address(peer)?], 0)?;
    for (name, device) in [("to_tunnel", "veth0"), ("from_tunnel", "vxlan0")] {
        let program = ebpf.program_mut(name).with_context(|| format!("it has no {name}"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        program.attach_with_options(device, TcAttachType::Ingress, options)?;
    }
    Ok(ebpf)
}

/// The host's address on the underlay, in host order.
fn tunnel_address(host: u8) -> Result<u32> {
    let parsed: std::net::Ipv4Addr = address(host).parse()?;
    Ok(parsed.to_bits())
}

fn mac(number: u8) -> [u8; 6] {
    [2, 0x42, 10, 4, 0, number]
}

fn mac_text(number: u8) -> String {
    mac(number).map(|byte| format!("{byte:02x}")).join(":")
}

/// As the programs read it.
fn key(number: u8) -> [u32; 3] {
    let bytes = mac(number);
    let [first @ .., _, _] = bytes;
    let [.., fifth, sixth] = bytes;
    [VNI, u32::from_ne_bytes(first), u16::from_ne_bytes([fifth, sixth]).into()]
}
