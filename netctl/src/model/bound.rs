//! What a published port has become on a host.

use std::{net::IpAddr, num::NonZeroU16};

use serde::{Deserialize, Serialize};

use super::Transport;

/// A port of an attached service that is reached from outside in one family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// The address of the host that it is reached at; an unspecified one is all of its family. It tells the family.
    pub address: IpAddr,
    /// The port of the host that it is reached at. `None` where nothing is translated in this family: there it is
    /// reached at the service's own address and port, and `address` tells the family alone.
    pub host_port: Option<NonZeroU16>,
    /// The port of the service.
    pub port: NonZeroU16,
    /// What both are ports of.
    pub transport: Transport,
}

impl BoundPort {
    /// Whether the same packet of the host could be for both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.transport == other.transport
            && self.host_port.is_some()
            && self.host_port == other.host_port
            && overlap(self.address, other.address)
    }
}

/// Whether two addresses are the same, or one is all of the other's family.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other
        || one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str, host_port: u16, transport: Transport) -> BoundPort {
        let port = NonZeroU16::new(80).expect("a port");
        let address = address.parse().expect("an address");
        BoundPort { address, host_port: NonZeroU16::new(host_port), port, transport }
    }

    #[test]
    fn ports_overlap_where_a_packet_could_be_for_both() {
        for (one, other, expected) in [
            (("0.0.0.0", 80, Transport::Tcp), ("0.0.0.0", 80, Transport::Tcp), true),
            (("0.0.0.0", 80, Transport::Tcp), ("192.0.2.1", 80, Transport::Tcp), true),
            (("192.0.2.1", 80, Transport::Tcp), ("192.0.2.1", 80, Transport::Tcp), true),
            (("192.0.2.2", 80, Transport::Tcp), ("192.0.2.1", 80, Transport::Tcp), false),
            (("0.0.0.0", 80, Transport::Tcp), ("::", 80, Transport::Tcp), false),
            (("::", 80, Transport::Tcp), ("fd00::1", 80, Transport::Tcp), true),
            (("0.0.0.0", 80, Transport::Tcp), ("0.0.0.0", 80, Transport::Udp), false),
            (("0.0.0.0", 80, Transport::Tcp), ("0.0.0.0", 81, Transport::Tcp), false),
            (("::", 0, Transport::Tcp), ("::", 0, Transport::Tcp), false),
        ] {
            let bound = |(address, port, transport)| bound(address, port, transport);
            assert_eq!(bound(one).overlaps(&bound(other)), expected, "{one:?} {other:?}");
            assert_eq!(bound(other).overlaps(&bound(one)), expected, "{other:?} {one:?}");
        }
    }
}
