//! Settings of the devices that drivers make in the host's namespace.

use super::{Error, HostContext};
use crate::{
    kernel::{self, Link, Netlink, Netns, Sizes},
    model::Endpoint,
};

impl HostContext {
    /// The host's side of an endpoint's interface says nothing by itself: what the container sends is the data plane's,
    /// and the device has no address of its own to find neighbours for.
    pub(super) async fn settle_port(&self, port: &str) -> Result<(), Error> {
        self.set(&format!("ipv6/conf/{port}/disable_ipv6"), "1").await
    }

    /// The gateway's device takes what comes from members of its network alone, also where another network on this host
    /// has the same addresses: by the strict rule of `rp_filter` the reply would have to leave through the other.
    ///
    /// Without a way out it forwards nothing. With one that is said once the packet filter stands.
    ///
    /// `ipv6` says whether it has an IPv6 address.
    pub(super) async fn settle_gateway(
        &self,
        gateway: &str,
        port: &str,
        ipv6: bool,
        way_out: bool,
    ) -> Result<(), Error> {
        self.settle_port(port).await?;
        if ipv6 && !way_out {
            self.netlink.forbid_forwarding6(gateway).await?;
        } else if ipv6 {
            // Versions without ways out forbade it to all.
            self.netlink.allow_forwarding6(gateway).await?;
        }
        settle_ipv6(self.netlink.netns(), gateway, ipv6).await?;
        if !way_out {
            self.set(&format!("ipv4/conf/{gateway}/forwarding"), "0").await?;
        }
        self.set(&format!("ipv4/conf/{gateway}/rp_filter"), "2").await
    }

    /// Both ends of a pair send and take super-packets of the same size. A kernel that does not know of it keeps its
    /// own, and so does IPv6: its packets of more than 64 KiB have a header more, which is not taken off where the kernel
    /// cuts one inside a tunnel (`ipv6_hopopt_jumbo_remove`).
    pub(super) async fn settle_sizes(&self, netlink: &Netlink, end: &Link) -> Result<(), Error> {
        let Sizes { gso_ipv4, gro_ipv4, .. } = end.sizes;
        if gso_ipv4 != 0 && gso_ipv4 != self.super_packets {
            netlink.set_gso_ipv4(end, self.super_packets).await?;
        }
        if gro_ipv4 != 0 && gro_ipv4 != self.super_packets {
            netlink.set_gro_ipv4(end, self.super_packets).await?;
        }
        Ok(())
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        set(self.netlink.netns(), name, value).await
    }
}

/// An endpoint's interface in its sandbox.
pub(super) async fn settle_interface(
    netns: &Netns,
    device: &str,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    let ipv6 = endpoint.addresses.iter().any(|address| address.addr().is_ipv6());
    settle_ipv6(netns, device, ipv6).await
}

/// A device without an IPv6 address has no use for the one that the kernel would make up, and for all that it says to
/// find others. One that has an address has what was allocated and nothing that a router says; its link-local address
/// follows from its MAC, as the data plane expects it, and none of both is another's, so they serve at once.
async fn settle_ipv6(netns: &Netns, device: &str, ipv6: bool) -> Result<(), Error> {
    if ipv6 {
        for (name, value) in [
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("use_tempaddr", "0"),
            ("accept_dad", "0"),
            ("addr_gen_mode", "0"),
        ] {
            set(netns, &format!("ipv6/conf/{device}/{name}"), value).await?;
        }
    }
    let disabled = if ipv6 { "0" } else { "1" };
    set(netns, &format!("ipv6/conf/{device}/disable_ipv6"), disabled).await
}

async fn set(netns: &Netns, name: &str, value: &str) -> Result<(), Error> {
    match netns.set_sysctl(name, value).await {
        // A kernel without IPv6 has none of its settings, and nothing to be told.
        Err(kernel::Error::Sysctl { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound && name.starts_with("ipv6/") =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}
