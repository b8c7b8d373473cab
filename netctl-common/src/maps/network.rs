use super::map_type;
use crate::MacAddr;

/// Hash: VNI in host order (`u32`) → [`Network`].
pub const NETWORKS: &str = "NETWORKS";
/// How many networks one host can hold.
pub const NETWORK_ENTRIES: u32 = 4_096;

/// A network that has an endpoint on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Network {
    flags: u32,
    mtu: u32,
    flood_members: u32,
    gateway: [u8; 6],
    _pad: [u8; 2],
}

map_type!(Network => 20);

impl Network {
    /// Endpoints may have addresses that nobody else knows of: who asks for one asks all members.
    pub const OPEN: u32 = 1;

    /// A network whose endpoints have this MTU in bytes (network layer) and, where it has one, this gateway.
    pub const fn new(mtu: u32, gateway: Option<MacAddr>) -> Self {
        let gateway = match gateway {
            Some(mac) => mac.0,
            None => [0; 6],
        };
        Self { flags: 0, mtu, flood_members: 0, gateway, _pad: [0; 2] }
    }

    /// The same network with further flags of this type set.
    #[must_use]
    pub const fn with_flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// The same network with all its members in `FLOOD` at positions below `members`.
    #[must_use]
    pub const fn with_flood_members(mut self, members: u32) -> Self {
        self.flood_members = members;
        self
    }

    /// What fits an endpoint's packet, in bytes from the network layer on.
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Whether who asks for an address that nobody is known to have asks all members.
    #[inline(always)]
    pub const fn is_open(&self) -> bool {
        self.flags & Self::OPEN != 0
    }

    /// One more than the last position in `FLOOD` that a member of the network has.
    #[inline(always)]
    pub const fn flood_members(&self) -> u32 {
        self.flood_members
    }

    /// The gateway's address, the same on every host; none where the network has no gateway.
    pub const fn gateway(&self) -> Option<MacAddr> {
        let mac = MacAddr(self.gateway);
        if mac.is_zero() { None } else { Some(mac) }
    }
}
