//! Reading a frame once, into what the later stages need to know of it.

use netctl_common::{
    DropReason, MacAddr, flow,
    wire::{Ethernet, Ipv4, Ipv6, Ports, ether_type, protocol},
};

use crate::packet::Packet;

pub(crate) const ETHERNET: usize = size_of::<Ethernet>();
const IPV4: usize = size_of::<Ipv4>();
const IPV6: usize = size_of::<Ipv6>();
/// What has to be seen of a frame: the longer IP header, and the ports behind it.
pub(crate) const SEEN: usize = ETHERNET + IPV6 + size_of::<Ports>();

/// A frame that a station of a network sent.
pub(crate) struct Frame {
    pub(crate) ethernet: Ethernet,
    pub(crate) payload: Payload,
}

/// What a frame carries.
pub(crate) enum Payload {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Arp,
    /// Anything else, and all that has a VLAN tag: that is another network, in which only frames are known.
    Other,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn source(&self) -> MacAddr {
        self.ethernet.source()
    }

    #[inline(always)]
    pub(crate) fn destination(&self) -> MacAddr {
        self.ethernet.destination()
    }

    #[inline(always)]
    pub(crate) fn is_ipv6(&self) -> bool {
        matches!(self.payload, Payload::Ipv6(_))
    }
}

impl Payload {
    /// Whether the fast path may tunnel it.
    ///
    /// What the kernel will cut into datagrams cannot be decapsulated by `bpf_skb_adjust_room`: on 6.18 the tunnel's
    /// GSO type stays on the packet, and the receiving socket gets none of the datagrams. TCP is not hurt. Nor does
    /// the kernel make room in what is not IP, or take care of a VLAN tag, which stands beside the frame.
    #[inline(always)]
    pub(crate) fn survives_tunnel(&self, packet: &Packet) -> bool {
        match self {
            Self::Ipv4(ip) => packet.segment() == 0 || ip.protocol() == protocol::TCP,
            Self::Ipv6(ip) => {
                packet.segment() == 0
                    || matches!(ip.next_header(), protocol::TCP | protocol::HOP_BY_HOP)
            }
            Self::Arp | Self::Other => false,
        }
    }

    /// DSCP and ECN; zero where there are none.
    #[inline(always)]
    pub(crate) fn tos(&self) -> u8 {
        match self {
            Self::Ipv4(ip) => ip.tos(),
            Self::Ipv6(ip) => ip.tos(),
            Self::Arp | Self::Other => 0,
        }
    }
}

/// What to say of a frame that is cut short.
#[derive(Clone, Copy)]
struct Short {
    ethernet: DropReason,
    ipv4: DropReason,
    ipv6: DropReason,
}

const SENT: Short = Short {
    ethernet: DropReason::MalformedEthernet,
    ipv4: DropReason::MalformedIpv4,
    ipv6: DropReason::MalformedIpv6,
};
const TUNNELLED: Short = Short {
    ethernet: DropReason::MalformedInner,
    ipv4: DropReason::MalformedInner,
    ipv6: DropReason::MalformedInner,
};

/// Reads the frame that a container sent.
#[inline(always)]
pub(crate) fn frame(packet: &Packet) -> Result<Frame, DropReason> {
    whole(packet, SENT)
}

/// Reads the frame that the kernel's vxlan device has stripped of its outer headers.
#[inline(always)]
pub(crate) fn stripped(packet: &Packet) -> Result<Frame, DropReason> {
    whole(packet, TUNNELLED)
}

/// Reads the frame that stands `OFFSET` bytes from the start, behind outer headers.
#[inline(always)]
pub(crate) fn inner<const OFFSET: usize>(packet: &Packet) -> Result<Frame, DropReason> {
    frame_at::<OFFSET>(packet, TUNNELLED)
}

#[inline(always)]
fn whole(packet: &Packet, short: Short) -> Result<Frame, DropReason> {
    packet.pull(SEEN as u32);
    if packet.vlan().is_some() {
        // VLAN 0 is none: the tag has only a priority (IEEE 802.1Q section 9.6), and receivers ignore it.
        if packet.vlan() != Some(0) || !packet.untag() {
            let ethernet = *packet.at::<Ethernet>(0).ok_or(short.ethernet)?;
            return Ok(Frame { ethernet, payload: Payload::Other });
        }
        packet.pull(SEEN as u32);
    }
    frame_at::<0>(packet, short)
}

#[inline(always)]
fn frame_at<const OFFSET: usize>(packet: &Packet, short: Short) -> Result<Frame, DropReason> {
    let ethernet = *packet.at::<Ethernet>(OFFSET).ok_or(short.ethernet)?;
    let merged = packet.segment() != 0;
    let payload = match ethernet.ether_type() {
        ether_type::IPV4 => {
            let ip = *packet.at::<Ipv4>(OFFSET + ETHERNET).ok_or(short.ipv4)?;
            if !ip.is_sound(packet.len() - (OFFSET + ETHERNET) as u32, merged) {
                return Err(short.ipv4);
            }
            Payload::Ipv4(ip)
        }
        ether_type::IPV6 => {
            let ip = *packet.at::<Ipv6>(OFFSET + ETHERNET).ok_or(short.ipv6)?;
            if !ip.is_sound(packet.len() - (OFFSET + ETHERNET) as u32, merged) {
                return Err(short.ipv6);
            }
            Payload::Ipv6(ip)
        }
        ether_type::ARP => Payload::Arp,
        _ => Payload::Other,
    };
    Ok(Frame { ethernet, payload })
}

/// The hash of the packet's flow: the one it carries, or else one of its addresses and ports.
///
/// The kernel's own (`bpf_get_hash_recalc`) reads the packet all over again.
#[inline(always)]
pub(crate) fn flow_hash(packet: &Packet, payload: &Payload) -> u32 {
    let carried = packet.hash();
    if carried != 0 {
        return carried;
    }
    match payload {
        Payload::Ipv4(ip) => {
            // Only the first fragment has ports: all have to go one way.
            let whole = ip.has_no_options() && !ip.is_fragment();
            let ports = ports::<{ ETHERNET + IPV4 }>(packet, whole, ip.protocol());
            flow::hash4(ip.source(), ip.destination(), ip.protocol(), ports)
        }
        Payload::Ipv6(ip) => {
            let ports = ports::<{ ETHERNET + IPV6 }>(packet, true, ip.next_header());
            flow::hash6(ip.source(), ip.destination(), ip.next_header(), ports)
        }
        Payload::Arp | Payload::Other => 0,
    }
}

#[inline(always)]
fn ports<const OFFSET: usize>(packet: &Packet, whole: bool, protocol: u8) -> u32 {
    if whole && Ports::begin(protocol) {
        packet.at::<Ports>(OFFSET).map_or(0, |ports| ports.word())
    } else {
        0
    }
}
