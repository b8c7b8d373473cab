use super::map_type;
use crate::{MacAddr, Vni, addr6};

/// Hash: index of the host-side device of an endpoint (`u32`) → [`Port`].
pub const PORTS: &str = "PORTS";
/// How many endpoints one host can hold.
pub const PORT_ENTRIES: u32 = 16_384;
/// How many addresses of each family one endpoint can have.
pub const PORT_ADDRESSES: usize = 4;

/// What a device that containers are behind may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    vni: u32,
    flags: u32,
    mac: [u8; 6],
    _pad: [u8; 2],
    addresses4: [[u8; 4]; PORT_ADDRESSES],
    addresses6: [[u8; 16]; PORT_ADDRESSES],
    gateway4: [u8; 4],
    gateway6: [u8; 16],
    endpoint: [u8; 32],
}

map_type!(Port => 148);

impl Port {
    /// Every source address is allowed: what a host endpoint has, which routes for others.
    pub const ANY_SOURCE: u32 = 1;
    /// It reaches the host's own endpoint and nobody else: its network keeps containers apart.
    pub const ISOLATED: u32 = 2;

    /// A port of the network `vni` that owns `mac` and may send from no address yet.
    ///
    /// `endpoint` is the endpoint's identifier as bytes, zero for a host endpoint; only people read it.
    pub const fn new(vni: Vni, mac: MacAddr, endpoint: [u8; 32]) -> Self {
        Self {
            vni: vni.get(),
            flags: 0,
            mac: mac.0,
            _pad: [0; 2],
            addresses4: [[0; 4]; PORT_ADDRESSES],
            addresses6: [[0; 16]; PORT_ADDRESSES],
            gateway4: [0; 4],
            gateway6: [0; 16],
            endpoint,
        }
    }

    /// The same port with further flags of this type set.
    #[must_use]
    pub const fn with_flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// The same port with the IPv4 addresses it may send from. An unused place is `0.0.0.0`, which never matches.
    #[must_use]
    pub const fn with_addresses4(mut self, addresses: [[u8; 4]; PORT_ADDRESSES]) -> Self {
        self.addresses4 = addresses;
        self
    }

    /// The same port with the IPv6 addresses it may send from. An unused place is `::`, which never matches.
    #[must_use]
    pub const fn with_addresses6(mut self, addresses: [[u8; 16]; PORT_ADDRESSES]) -> Self {
        self.addresses6 = addresses;
        self
    }

    /// The same port with the addresses of the gateway in the endpoint's own subnets, zeroes where there is none.
    #[must_use]
    pub const fn with_gateways(mut self, gateway4: [u8; 4], gateway6: [u8; 16]) -> Self {
        self.gateway4 = gateway4;
        self.gateway6 = gateway6;
        self
    }

    /// The network's identifier, in host order.
    #[inline(always)]
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// Whether any source address may be used.
    #[inline(always)]
    pub const fn any_source(&self) -> bool {
        self.flags & Self::ANY_SOURCE != 0
    }

    /// Whether it reaches nobody but the host.
    #[inline(always)]
    pub const fn is_isolated(&self) -> bool {
        self.flags & Self::ISOLATED != 0
    }

    /// The gateway's IPv4 address in the endpoint's own subnet, `0.0.0.0` where there is none.
    #[inline(always)]
    pub const fn gateway4(&self) -> [u8; 4] {
        self.gateway4
    }

    /// The gateway's IPv6 address in the endpoint's own subnet, `::` where there is none.
    #[inline(always)]
    pub const fn gateway6(&self) -> [u8; 16] {
        self.gateway6
    }

    /// The endpoint's own link-layer address.
    #[inline(always)]
    pub const fn mac(&self) -> MacAddr {
        MacAddr(self.mac)
    }

    /// The IPv4 addresses it may send from, `0.0.0.0` where a place is unused.
    #[inline(always)]
    pub const fn addresses4(&self) -> &[[u8; 4]; PORT_ADDRESSES] {
        &self.addresses4
    }

    /// The IPv6 addresses it may send from, `::` where a place is unused.
    #[inline(always)]
    pub const fn addresses6(&self) -> &[[u8; 16]; PORT_ADDRESSES] {
        &self.addresses6
    }

    /// The endpoint's identifier, zero for a host endpoint.
    pub const fn endpoint(&self) -> &[u8; 32] {
        &self.endpoint
    }

    /// Whether the endpoint may send from `address`: its own, and the link-local one that follows from its MAC.
    #[inline(always)]
    pub const fn may_send_from6(&self, address: [u8; 16]) -> bool {
        if self.any_source() {
            return true;
        }
        let [a, b, c, d] = self.addresses6;
        !addr6::is_unspecified(address)
            && (addr6::same(address, a)
                || addr6::same(address, addr6::link_local(self.mac()))
                || addr6::same(address, b)
                || addr6::same(address, c)
                || addr6::same(address, d))
    }

    /// Whether the endpoint may send from `address`.
    #[inline(always)]
    pub fn may_send_from4(&self, address: [u8; 4]) -> bool {
        if self.any_source() {
            return true;
        }
        let wanted = u32::from_ne_bytes(address);
        let [a, b, c, d] = self.addresses4;
        wanted != 0
            && (wanted == u32::from_ne_bytes(a)
                || wanted == u32::from_ne_bytes(b)
                || wanted == u32::from_ne_bytes(c)
                || wanted == u32::from_ne_bytes(d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let vni = Vni::new(7).expect("a VNI");
        let own = [10, 0, 0, 2];
        let port = Port::new(vni, MacAddr([2; 6]), [0; 32]).with_addresses4([
            [0; 4],
            [10, 0, 1, 2],
            [0; 4],
            own,
        ]);
        for (source, allowed) in
            [(own, true), ([10, 0, 1, 2], true), ([10, 0, 0, 3], false), ([0, 0, 0, 0], false)]
        {
            assert_eq!(port.may_send_from4(source), allowed, "{source:?}");
            assert!(port.with_flags(Port::ANY_SOURCE).may_send_from4(source), "{source:?}");
        }
    }
}
