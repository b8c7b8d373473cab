//! What a program would do to a packet: it is run on one that nobody has sent (`BPF_PROG_TEST_RUN`).
//!
//! A copy of the program is run, on the pinned maps and with counters of its own, so that what is only asked is not counted
//! as carried. A test run redirects nothing: what the program returns is looked at and thrown away
//! (`bpf_prog_test_run_skb`).

use aya::{
    maps::PerCpuArray,
    programs::{TestRun as _, TestRunOptions},
};
use netctl_common::{
    Direction, Outcome,
    counter::{COUNTERS, Count},
};
use nix::net::if_::if_nametoindex;

use super::{
    Config, Error, bpffs,
    links::{self, Role},
    load::{self, Settings},
    rows,
};

/// How many bytes a packet may have at most: a page, less what the kernel puts around it (`bpf_test_init`).
pub const LONGEST: usize = 3500;
/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where `ifindex` stands.
const SK_BUFF: usize = 192;
const IFINDEX: usize = 40;
/// How much longer the packet may become.
const ROOM: usize = 256;

/// Where a packet comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By the host's side of an endpoint's device, of this name.
    Port(String),
    /// By the underlay device, in a tunnel.
    Underlay,
}

/// What would become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// How it would end.
    pub outcome: Outcome,
    /// The packet as it would leave the program.
    pub packet: Vec<u8>,
}

/// Runs the program there on a packet of at most [`LONGEST`] bytes, as though it had come by that device of the caller's
/// namespace. A packet that is for a group must not be tried: its copies are sent by a helper that knows no test.
///
/// # Errors
/// The data plane is not there, or the kernel refuses.
pub async fn rehearse(
    config: Config,
    entrance: Entrance,
    packet: Vec<u8>,
) -> Result<Rehearsal, Error> {
    let run = tokio::task::spawn_blocking(move || run(&config, &entrance, &packet));
    run.await.map_err(|_panicked| Error::Stopped)?
}

fn run(config: &Config, entrance: &Entrance, packet: &[u8]) -> Result<Rehearsal, Error> {
    let (device, role, direction) = match entrance {
        Entrance::Port(device) => (&**device, Role::Port, Direction::FromContainer),
        Entrance::Underlay => (&*config.underlay, Role::Underlay, Direction::FromUnderlay),
    };
    let index = |name: &str| {
        let hint = "`netctl doctor` says what is wrong with it";
        if_nametoindex(name).map_err(|_errno| Error::NoInterface { name: name.to_owned(), hint })
    };
    let settings = Settings {
        underlay: index(&config.underlay)?,
        vxlan: index(&config.vxlan_device)?,
        port: config.vxlan_port,
        local: config.vteps,
    };
    let mut context = [0; SK_BUFF];
    context[IFINDEX..][..4].copy_from_slice(&index(device)?.to_ne_bytes());
    let mut ebpf = load::load_copy(&bpffs::maps(&config.bpf_dir), settings, role)?;
    let mut out = vec![0; packet.len() + ROOM];
    let options = TestRunOptions {
        data_in: Some(packet),
        data_out: Some(&mut out),
        ctx_in: Some(&context),
        ..TestRunOptions::default()
    };
    let program = role.program();
    let failed = |reason: String| Error::Rehearse { program, reason };
    let ran = links::program(&mut ebpf, role)?.test_run(options);
    let ran = ran.map_err(|error| failed(links::words(&error)))?;
    out.truncate(usize::try_from(ran.data_size_out).unwrap_or(usize::MAX));
    let map = ebpf.take_map(COUNTERS).ok_or(Error::Incomplete { what: "map", name: COUNTERS })?;
    let counters: PerCpuArray<_, Count> =
        map.try_into().map_err(|source| Error::Map { what: "open", map: COUNTERS, source })?;
    let counted = rows::counters(&counters)?.into_iter();
    let mut counted = counted.filter(|row| row.packets > 0);
    let row = counted.find(|row| row.direction == direction);
    let outcome = row
        .map(|row| row.outcome)
        .ok_or_else(|| failed("it neither forwarded nor dropped the packet".to_owned()))?;
    Ok(Rehearsal { outcome, packet: out })
}
