//! Why a packet was dropped.

/// Numbers the reasons once; the label and the sentence stand beside the number.
macro_rules! drop_reasons {
    ($($name:ident = $number:literal, $label:literal, $sentence:literal;)+) => {
        /// Why a packet was dropped: the programs' error, the metric's label and the text that people read.
        ///
        /// A number is never given to another reason. A reason that is no longer used keeps its line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum DropReason {
            $(#[doc = $sentence] $name = $number,)+
        }

        impl DropReason {
            /// All reasons, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The label, in kebab case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            /// One sentence for people.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

drop_reasons! {
    MalformedEthernet = 0, "malformed-ethernet", "The frame is shorter than an Ethernet header.";
    UnknownPort = 1, "unknown-port", "The device it came from belongs to no endpoint.";
    SourceMac = 2, "source-mac", "The source MAC is not the endpoint's own.";
    SourceAddress = 3, "source-address", "The source address is not one of the endpoint's own.";
    EtherType = 4, "ether-type", "The frame carries neither IPv4 nor ARP.";
    Ipv6 = 5, "ipv6", "The frame carries IPv6, which the network does not forward.";
    GroupDestination = 6, "group-destination", "The destination MAC is broadcast or multicast, which is not forwarded.";
    MalformedIpv4 = 7, "malformed-ipv4", "The IPv4 header is cut short or contradicts itself.";
    MalformedArp = 8, "malformed-arp", "The ARP packet is cut short or is not for IPv4 over Ethernet.";
    ArpSource = 9, "arp-source", "The ARP packet claims a sender that the endpoint is not.";
    ArpUnknown = 10, "arp-unknown", "Nobody in the network has the address that ARP asks for.";
    ArpOwnAddress = 11, "arp-own-address", "The endpoint probes for an address of its own, which nobody else has.";
    ArpReply = 12, "arp-reply", "An ARP reply that nobody asked for.";
    UnknownDestination = 13, "unknown-destination", "Nobody in the network has the destination MAC.";
    UnknownVtep = 14, "unknown-vtep", "The destination's host has no known tunnel address.";
    TooBig = 15, "too-big", "The packet does not fit the underlay's MTU once it is encapsulated.";
    EncapFailed = 16, "encap-failed", "The kernel had no room to encapsulate the packet.";
    DecapFailed = 17, "decap-failed", "The kernel could not strip the outer headers.";
    HandOverFailed = 18, "hand-over-failed", "The kernel's vxlan device could not be given the packet.";
    MalformedOuter = 19, "malformed-outer", "The lengths of the outer headers contradict each other.";
    MalformedVxlan = 20, "malformed-vxlan", "The VXLAN header is cut short or lacks the flag for a valid VNI.";
    MalformedInner = 21, "malformed-inner", "The frame inside the tunnel is cut short or contradicts itself.";
    InnerEtherType = 22, "inner-ether-type", "The frame inside the tunnel carries a protocol that is not forwarded.";
    UnknownVni = 23, "unknown-vni", "No endpoint on this host is in the network that the VNI names.";
    UnknownTunnelSource = 24, "unknown-tunnel-source", "The tunnel packet comes from an address that is no host of ours.";
    InnerSource = 25, "inner-source", "The source MAC inside the tunnel is not behind the host that sent it.";
    NotLocal = 26, "not-local", "The destination inside the tunnel is not on this host.";
    CongestionMark = 27, "congestion-mark", "The underlay marked congestion on a packet whose sender does not take such marks.";
    NoTunnelKey = 28, "no-tunnel-key", "A packet on the vxlan device carries no tunnel key.";
    NotWritable = 29, "not-writable", "The kernel could not make the packet's headers writable.";
    MalformedIpv6 = 30, "malformed-ipv6", "The IPv6 headers are cut short or contradict each other.";
    MalformedNd = 31, "malformed-nd", "The neighbour discovery message is cut short or not one that a receiver would take.";
    NdSource = 32, "nd-source", "The neighbour discovery message claims a sender that the endpoint is not.";
    NdUnknown = 33, "nd-unknown", "Nobody in the network has the address that neighbour discovery asks for.";
    NdOwnAddress = 34, "nd-own-address", "The endpoint probes for an IPv6 address of its own, which nobody else has.";
    RouterAdvertisement = 35, "router-advertisement", "The endpoint poses as a router to the network.";
    LinkLocalGroup = 36, "link-local-group", "The destination is a group that bridges do not forward.";
    NotMember = 37, "not-member", "The tunnel packet comes from a host that has no endpoint in the network.";
    TooBigReportFailed = 38, "too-big-report-failed", "The sender of a packet that is too big could not be told.";
    OwnStation = 39, "own-station", "The frame is for the endpoint that sent it.";
    Isolated = 40, "isolated", "The network keeps its containers apart, and the packet is for another container.";
    TtlExpired = 41, "ttl-expired", "The packet may pass no further router, which its sender cannot be told.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{reason:?}");
        }
    }

    #[test]
    fn labels_are_unique_kebab_case() {
        let mut labels: Vec<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        for label in &labels {
            assert!(
                label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'),
                "{label}"
            );
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), DropReason::ALL.len());
    }

    #[test]
    fn sentences_end() {
        for reason in DropReason::ALL {
            assert!(reason.describe().ends_with('.'), "{reason:?}");
        }
    }
}
