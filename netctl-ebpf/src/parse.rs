//! Reading a packet once, into what the later stages need to know of it.

use netctl_common::{
    DropReason, MacAddr,
    wire::{Ethernet, Ipv4, Udp, Vxlan, ether_type, protocol},
};

use crate::{config, packet::Packet};

const ETHERNET: usize = size_of::<Ethernet>();
const IPV4: usize = size_of::<Ipv4>();
/// Where the outer UDP, the VXLAN and the inner Ethernet header stand over IPv4 without options.
const UDP: usize = ETHERNET + IPV4;
const VXLAN: usize = UDP + size_of::<Udp>();
/// What is stripped in front of the inner frame.
pub(crate) const INNER: usize = VXLAN + size_of::<Vxlan>();

/// A frame that a station of a network sent.
pub(crate) struct Frame {
    pub(crate) ethernet: Ethernet,
    pub(crate) payload: Payload,
}

/// What a frame carries.
pub(crate) enum Payload {
    Ipv4(Ipv4),
    Arp,
    Ipv6,
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
}

impl Payload {
    /// Whether the fast path may tunnel it.
    ///
    /// What the kernel will cut into datagrams cannot be decapsulated by `bpf_skb_adjust_room`: on 6.18 the tunnel's
    /// GSO type stays on the packet, and the receiving socket gets none of the datagrams. TCP is not hurt.
    #[inline(always)]
    pub(crate) fn survives_tunnel(&self, packet: &Packet) -> bool {
        match self {
            Self::Ipv4(ip) => packet.segment() == 0 || ip.protocol() == protocol::TCP,
            Self::Arp | Self::Ipv6 | Self::Other => packet.segment() == 0,
        }
    }
}

/// Reads the frame at the start of the packet.
#[inline(always)]
pub(crate) fn frame(packet: &Packet) -> Result<Frame, DropReason> {
    packet.pull((ETHERNET + IPV4) as u32);
    if packet.has_vlan() {
        return Err(DropReason::EtherType);
    }
    frame_at::<0>(packet, DropReason::MalformedEthernet, DropReason::MalformedIpv4)
}

/// Reads the frame that stands `OFFSET` bytes from the start; says so in these words if it is cut short.
#[inline(always)]
fn frame_at<const OFFSET: usize>(
    packet: &Packet,
    no_ethernet: DropReason,
    no_ipv4: DropReason,
) -> Result<Frame, DropReason> {
    let ethernet = *packet.at::<Ethernet>(OFFSET).ok_or(no_ethernet)?;
    let payload = match ethernet.ether_type() {
        ether_type::IPV4 => {
            let ip = *packet.at::<Ipv4>(OFFSET + ETHERNET).ok_or(no_ipv4)?;
            let available = packet.len() - (OFFSET + ETHERNET) as u32;
            if !ip.is_sound(available, packet.segment() != 0) {
                return Err(no_ipv4);
            }
            Payload::Ipv4(ip)
        }
        ether_type::ARP => Payload::Arp,
        ether_type::IPV6 => Payload::Ipv6,
        _ => Payload::Other,
    };
    Ok(Frame { ethernet, payload })
}

/// The outer headers of a packet from another host.
pub(crate) struct Outer {
    pub(crate) source: [u8; 4],
    pub(crate) tos: u8,
    /// It is sound, but not what the fast path takes.
    pub(crate) for_kernel: bool,
    pub(crate) vni: u32,
}

/// Reads the outer headers; `None` where the packet is not VXLAN for this host.
///
/// Fragments and headers with options are left to the kernel: it reassembles them, and its vxlan device hands the
/// result to `from_tunnel`.
#[inline(always)]
pub(crate) fn outer(packet: &Packet) -> Result<Option<Outer>, DropReason> {
    packet.pull((INNER + ETHERNET + IPV4) as u32);
    if packet.has_vlan() || !packet.is_for_device() {
        return Ok(None);
    }
    let (Some(ethernet), Some(ip), Some(udp)) =
        (packet.at::<Ethernet>(0), packet.at::<Ipv4>(ETHERNET), packet.at::<Udp>(UDP))
    else {
        return Ok(None);
    };
    if ethernet.ether_type() != ether_type::IPV4
        || !ip.has_no_options()
        || ip.protocol() != protocol::UDP
        || ip.is_fragment()
        || udp.destination() != config::vxlan_port()
        || u32::from_ne_bytes(ip.destination()) != u32::from_ne_bytes(config::local_vtep4())
    {
        return Ok(None);
    }
    let merged = packet.segment() != 0;
    if !ip.is_sound(packet.len() - ETHERNET as u32, merged) {
        return Err(DropReason::MalformedOuter);
    }
    let (total, datagram) = (u32::from(ip.total()), u32::from(udp.length()));
    let whole = datagram + IPV4 as u32 == total || (merged && total == 0);
    if datagram + IPV4 as u32 > total && !whole {
        return Err(DropReason::MalformedOuter);
    }
    let vxlan = packet.at::<Vxlan>(VXLAN).ok_or(DropReason::MalformedVxlan)?;
    let vni = vxlan.vni().ok_or(DropReason::MalformedVxlan)?;
    // A checksum is for the kernel to verify, a datagram shorter than its packet for it to trim.
    let for_kernel = udp.has_checksum() || !whole;
    Ok(Some(Outer { source: ip.source(), tos: ip.tos(), for_kernel, vni }))
}

/// Reads the frame behind the outer headers.
#[inline(always)]
pub(crate) fn inner(packet: &Packet) -> Result<Frame, DropReason> {
    frame_at::<INNER>(packet, DropReason::MalformedInner, DropReason::MalformedInner)
}

/// Reads the frame that the kernel's vxlan device has stripped of its outer headers.
#[inline(always)]
pub(crate) fn stripped(packet: &Packet) -> Result<Frame, DropReason> {
    packet.pull((ETHERNET + IPV4) as u32);
    if packet.has_vlan() {
        return Err(DropReason::InnerEtherType);
    }
    frame_at::<0>(packet, DropReason::MalformedInner, DropReason::MalformedInner)
}
