//! Faults of devices and programs, on a lab whose store is no device's business.

use std::{fs, net::UdpSocket};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use testbed::{Host, Signal, Store, eventually};

use crate::{
    object,
    stage::{content, found, lab, mends, names, shell},
};

const RESTART: &str = "systemctl restart netctl";

fn ip(host: &Host, line: &str) -> Result<()> {
    host.netns().ip([line])
}

#[test]
fn faults_of_the_underlay_are_named_and_mended() -> Result<()> {
    let lab = lab(Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let down = "ip link set eth0 up";
    mends(h1, || ip(h1, "link set eth0 down"), "underlay-down", "eth0", down)?;
    mends(
        h1,
        || ip(h1, "addr del 192.0.2.1/24 dev eth0"),
        "underlay-address-missing",
        "eth0",
        "ip address add 192.0.2.1/24 dev eth0",
    )?;
    mends(
        h1,
        || shell(h1, "ethtool -K eth0 tso off").map(drop),
        "offloads-off",
        "eth0",
        "ethtool -K eth0 tso on",
    )?;
    let up = "ip link set netctl-vx up";
    mends(h1, || ip(h1, "link set netctl-vx down"), "vxlan-down", "netctl-vx", up)?;
    // The other end of its cable, which is not this host's.
    names(
        h1,
        || lab.underlay().ip(["link set h1 down"]),
        "underlay-no-carrier",
        "eth0",
        "ethtool eth0",
        |_| lab.underlay().ip(["link set h1 up"]),
    )?;
    // Each host says it, and of the one that carries less.
    ip(h2, "link set eth0 mtu 1400")?;
    let said = found(h1, "mtu-differs", "h2")?;
    ensure!((&*said.on, &*said.mend) == ("h2", "ip link set eth0 mtu 1500"), "{said:?}");
    mends(h2, || Ok(()), "mtu-differs", "h2", "ip link set eth0 mtu 1500")?;
    content(h1)?;
    lab.end()
}

#[test]
fn faults_of_programs_and_of_the_port_are_named() -> Result<()> {
    let lab = lab(Store::File)?;
    let h1 = lab.host(1);
    let restart = || lab.restart_daemon(h1, Signal::SIGTERM);
    let lost = || ip(h1, "link delete netctl-vx");
    names(h1, lost, "vxlan-missing", "netctl-vx", RESTART, |_| restart())?;
    // Somebody's program ahead of ours.
    let ahead = attach(h1)?;
    let said = found(h1, "program-behind", "eth0")?;
    ensure!(said.what.contains("probe_room before netctl's from_underlay"), "{said:?}");
    ensure!(said.mend.starts_with("bpftool net show dev eth0"), "{said:?}");
    drop(ahead);
    content(h1)?;

    // What the daemon mends by itself stays while it is away.
    h1.stop_daemon(Signal::SIGTERM)?;
    let links = h1.dir("bpf").join(format!("v{}", netctl_common::ABI_VERSION)).join("links");
    for (prefix, device) in [("underlay-", "eth0"), ("tunnel-", "netctl-vx"), ("port-", "")] {
        let entries = fs::read_dir(&links)?.map(|entry| Ok(entry?.path()));
        let pins: Vec<_> = entries.collect::<Result<_>>()?;
        let named = |path: &&std::path::PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        };
        pins.iter().filter(named).try_for_each(fs::remove_file)?;
        let device = if device.is_empty() { "np-001000" } else { device };
        let said = found(h1, "program-missing", device)?;
        ensure!(said.mend == RESTART, "{said:?}");
    }
    found(h1, "pins-missing", &h1.dir("bpf").display().to_string())?;
    lab.start_daemon(h1)?;
    content(h1)?;

    // The port in others' hands.
    h1.stop_daemon(Signal::SIGTERM)?;
    ip(h1, "link delete netctl-vx")?;
    let socket = h1.netns().within(|| Ok(UdpSocket::bind("0.0.0.0:4789")?))?;
    let own = std::process::id();
    let name = fs::read_to_string("/proc/self/comm")?;
    let holder = format!("process {own} ({})", name.trim());
    let said = found(h1, "vxlan-port-taken", &holder)?;
    ensure!(said.mend == format!("kill {own} && {RESTART}"), "{said:?}");
    drop(socket);
    ip(h1, "link add vxlan7 up type vxlan id 7 dstport 4789")?;
    let said = found(h1, "vxlan-port-taken", "the vxlan device vxlan7")?;
    let (mend, restart) = said.mend.split_once(" && ").context("two commands")?;
    ensure!(restart == RESTART, "{said:?}");
    shell(h1, mend)?;
    lab.start_daemon(h1)?;
    eventually("all is well", std::time::Duration::from_secs(5), || content(h1))?;
    lab.end()
}

/// A program that is none of a daemon's, before all others of the underlay.
fn attach(host: &Host) -> Result<(aya::Ebpf, SchedClassifierLink)> {
    host.netns().within(|| {
        let mut ebpf = object::load([0; 4], [0; 16], 0, 0)?;
        let program = object::program(&mut ebpf, "probe_room")?;
        program.load()?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options("eth0", TcAttachType::Ingress, options)?;
        let link = program.take_link(id)?;
        Ok((ebpf, link))
    })
}
