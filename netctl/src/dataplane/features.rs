//! What the kernel can do for the programs: tried out, since kernels are given features of later ones.

use aya::{
    Ebpf, TestRun as _,
    programs::{ProgramType, SchedClassifier, TestRunOptions},
    sys::{BpfHelper, is_helper_supported},
};
use netctl_common::config::PROBE_ROOM;
use nix::errno::Errno;

use super::{Error, links::words};

/// The helper functions that not every kernel with TCX need have, and since when kernels can have them.
const HELPERS: [(BpfHelper, &str, &str); 4] = [
    (BpfHelper::BPF_FUNC_redirect_peer, "bpf_redirect_peer", "5.10"),
    (BpfHelper::BPF_FUNC_redirect_neigh, "bpf_redirect_neigh", "5.10"),
    (BpfHelper::BPF_FUNC_ktime_get_coarse_ns, "bpf_ktime_get_coarse_ns", "5.11"),
    (BpfHelper::BPF_FUNC_loop, "bpf_loop", "5.17"),
];

// Flags of bpf_skb_adjust_room, from include/uapi/linux/bpf.h.
const FIXED_GSO: u64 = 1 << 0;
const ENCAP_L3_IPV4: u64 = 1 << 1;
const ENCAP_L3_IPV6: u64 = 1 << 2;
const ENCAP_L4_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const ENCAP_L2_ETH: u64 = 1 << 6;
const DECAP_L3_IPV4: u64 = 1 << 7;
const DECAP_L3_IPV6: u64 = 1 << 8;
const DECAP_L4_UDP: u64 = 1 << 10;
/// `BPF_F_ADJ_ROOM_ENCAP_L2` of an Ethernet header's 14 bytes.
const ENCAP_L2: u64 = 14 << 56;

const ENCAP: u64 = ENCAP_L4_UDP | ENCAP_L2_ETH | ENCAP_L2 | NO_CSUM_RESET | FIXED_GSO;
const DECAP: u64 = NO_CSUM_RESET | FIXED_GSO;

/// What is done with the room of packets: the bytes that are added, the flags, what it is for and since when kernels can.
const ROOMS: [(i32, u64, &str, &str); 4] = [
    (50, ENCAP | ENCAP_L3_IPV4, "bpf_skb_adjust_room for VXLAN over IPv4", "5.13"),
    (70, ENCAP | ENCAP_L3_IPV6, "bpf_skb_adjust_room for VXLAN over IPv6", "5.13"),
    (-50, DECAP | DECAP_L3_IPV4, "bpf_skb_adjust_room for IPv4 in a tunnel", "6.3"),
    (-50, DECAP | DECAP_L3_IPV6, "bpf_skb_adjust_room for IPv6 in a tunnel", "6.3"),
];

/// What not every kernel has that the programs can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Merged datagrams stay whole when the tunnel's headers are taken off (`BPF_F_ADJ_ROOM_DECAP_L4_UDP`).
    pub merged_datagrams: bool,
}

/// The first function that the kernel lacks.
pub(super) fn missing() -> Option<Error> {
    let lacks =
        |function| matches!(is_helper_supported(ProgramType::SchedClassifier, function), Ok(false));
    HELPERS
        .into_iter()
        .find(|&(function, ..)| lacks(function))
        .map(|(_, helper, since)| Error::NoHelper { helper, since })
}

/// Tries out what the programs need, and what they could use.
pub(super) fn probe(ebpf: &mut Ebpf) -> Result<Features, Error> {
    let absent = Error::Incomplete { what: "program", name: PROBE_ROOM };
    let program: &mut SchedClassifier =
        ebpf.program_mut(PROBE_ROOM).and_then(|program| program.try_into().ok()).ok_or(absent)?;
    let refused =
        |error: &dyn std::error::Error| Error::Load { program: PROBE_ROOM, reason: words(error) };
    program.load().map_err(|error| refused(&error))?;
    for (difference, flags, helper, since) in ROOMS {
        if !takes(program, difference, flags).map_err(|error| refused(&error))? {
            return Err(Error::NoHelper { helper, since });
        }
    }
    let flags = DECAP | DECAP_L3_IPV4 | DECAP_L4_UDP;
    let merged_datagrams = takes(program, -50, flags).map_err(|error| refused(&error))?;
    program.unload().map_err(|error| refused(&error))?;
    Ok(Features { merged_datagrams })
}

/// Whether the kernel takes these flags. Whatever else it says of the packet is not about them.
fn takes(
    program: &SchedClassifier,
    difference: i32,
    flags: u64,
) -> Result<bool, aya::programs::ProgramError> {
    /// Where `cb` is in `struct __sk_buff`.
    const CB: usize = 48;
    let mut context = [0; CB + 20];
    context[CB..CB + 4].copy_from_slice(&difference.to_ne_bytes());
    context[CB + 4..CB + 12].copy_from_slice(&flags.to_ne_bytes());
    // An Ethernet header, IPv4 with UDP, and more than enough for what is taken away.
    let mut packet = [0; 256];
    packet[12..15].copy_from_slice(&[8, 0, 0x45]);
    packet[23] = 17;
    let run = program.test_run(TestRunOptions {
        data_in: Some(&packet),
        ctx_in: Some(&context),
        ..TestRunOptions::new()
    })?;
    let unknown = Errno::EINVAL as u32;
    Ok(run.return_value != unknown)
}
