//! Whether the underlay's driver drops forged packets by itself (XDP).

use crate::{
    dataplane::Dataplane,
    kernel::{Link, Netlink},
    model::{Choice, Chosen},
};

/// Whether it is worth trying. A veth device that runs such a program lets no packet through whole any more (its peer's
/// `NETIF_F_GSO_SOFTWARE` goes, `veth_xdp_set`), which costs far more than it saves; other devices that are software
/// have no driver for it, or one of that kind.
pub(super) fn wanted(choice: Choice, underlay: &Link) -> bool {
    match choice {
        Choice::Auto => underlay.kind.is_none(),
        Choice::On => true,
        Choice::Off => false,
    }
}

/// What became of it.
pub(super) async fn chosen(
    choice: Choice,
    name: &str,
    netlink: &Netlink,
    dataplane: &Dataplane,
) -> Chosen {
    let Ok(underlay) = netlink.link_by_name(name).await else {
        return Chosen::off(format!("there is no {name} now"));
    };
    if !wanted(choice, &underlay) {
        return match (choice, &underlay.kind) {
            (Choice::Auto, Some(kind)) => {
                Chosen::off(format!("{name} is a {kind} device, which it would slow down"))
            }
            _ => Chosen::off("as was asked"),
        };
    }
    match dataplane.unfiltered().await.unwrap_or_else(|error| Some(error.to_string())) {
        Some(reason) => Chosen::off(format!("{name} cannot: {reason}")),
        None => Chosen::on(format!("in the driver of {name}")),
    }
}
