//! Having the host forward what goes to networks and comes from them, and nothing else.
//!
//! A host that forwards already is left as it is. On another, devices that lead somewhere are lent: their packets may
//! be forwarded from now on, and the table drops those that are not for a network. What is lent is noted before it is, so
//! that it can be taken back after any crash.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::elements::Elements;
use crate::{
    controller::VXLAN_DEVICE,
    drivers::{self, Device},
    kernel::{self, Link, Netlink},
};

/// What is lent, of each family: the sets of the table, and the setting of a device that lets its packets be forwarded.
const FAMILIES: [(&str, &str, &str); 2] =
    [("lent4", "ipv4", "forwarding"), ("lent6", "ipv6", "force_forwarding")];

/// The set of bridges among them.
const BRIDGES: &str = "bridges";

/// The devices that are lent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lending {
    /// In the order of the families.
    devices: [BTreeSet<String>; 2],
    /// Those that are bridges, and so carry packets that the host does not forward.
    bridges: BTreeSet<String>,
}

impl Lending {
    pub(super) fn of(elements: &Elements) -> Self {
        let devices = FAMILIES.map(|(set, ..)| elements.of(set).map(ToOwned::to_owned).collect());
        Self { devices, bridges: BTreeSet::new() }
    }

    pub(super) fn add_to(&self, elements: &mut Elements) {
        for ((set, ..), devices) in FAMILIES.iter().zip(&self.devices) {
            for device in devices {
                elements.add(set, device.clone());
            }
        }
        for bridge in &self.bridges {
            elements.add(BRIDGES, format!("{bridge} . {bridge}"));
        }
    }

    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (devices, more) in self.devices.iter_mut().zip(other.devices) {
            devices.extend(more);
        }
        self.bridges.extend(other.bridges);
        self
    }

    /// What is noted in a file.
    pub(super) fn noted(file: &Path) -> Result<Self, kernel::Error> {
        match fs::read(file) {
            // A file that was not written whole was written before anything was lent.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => {
                Err(kernel::Error::Path { doing: "read", path: file.to_owned(), source })
            }
        }
    }

    /// Notes it in a file, which is not there where nothing is lent.
    pub(super) fn note(&self, file: &Path) -> Result<(), kernel::Error> {
        let noted = if *self == Self::default() {
            let removed = fs::remove_file(file);
            removed.or_else(|error| {
                if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
            })
        } else {
            let text = serde_json::to_vec(self).unwrap_or_default();
            let new = file.with_extension("new");
            fs::write(&new, text).and_then(|()| fs::rename(&new, file))
        };
        let path = file.to_owned();
        noted.map_err(|source| kernel::Error::Path { doing: "write", path, source })
    }

    /// The devices, each once.
    pub(super) fn devices(&self) -> impl Iterator<Item = &String> {
        let [v4, v6] = &self.devices;
        v4.union(v6)
    }

    pub(super) fn sets() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().map(|(set, ..)| *set).chain([BRIDGES])
    }
}

/// What is to be lent, where `lent` already is.
pub(super) async fn lending(netlink: &Netlink, lent: &Lending) -> Result<Lending, kernel::Error> {
    let links = netlink.links().await?;
    let ours = |name: &str| name == VXLAN_DEVICE || drivers::is_ours(name);
    let devices: Vec<&Link> =
        links.iter().filter(|link| link.name != "lo" && !ours(&link.name)).collect();
    let mut lending = Lending::default();
    for (at, (_, family, setting)) in FAMILIES.into_iter().enumerate() {
        if forwards(netlink, family).await? {
            continue;
        }
        for device in &devices {
            let forwards = get(netlink, &of(family, &device.name, setting)).await?;
            let ours = lent.devices[at].contains(&device.name);
            // One that forwards already does so for somebody else's sake.
            if forwards.is_some_and(|forwards| ours || forwards == "0") {
                lending.devices[at].insert(device.name.clone());
                if device.kind.as_deref() == Some("bridge") {
                    lending.bridges.insert(device.name.clone());
                }
            }
        }
    }
    Ok(lending)
}

/// What a gateway's device is set to where its network has a way out: it forwards, of IPv6 by a setting of its own since
/// Linux 6.17, and the host reaches published ports by its loopback.
const OPEN: [&str; 3] = [
    "ipv4/conf/DEVICE/forwarding",
    "ipv6/conf/DEVICE/force_forwarding",
    "ipv4/conf/DEVICE/route_localnet",
];

/// Has a gateway's device forward. The table stands: without it, the host's loopback would be open to containers.
pub(super) async fn open(netlink: &Netlink, gateway: &str) -> Result<(), kernel::Error> {
    for setting in OPEN {
        set(netlink, &setting.replace("DEVICE", gateway), "1").await?;
    }
    Ok(())
}

/// Has gateways' devices forward no more, since nobody knows how the table stands.
pub(super) async fn close(netlink: &Netlink, gateways: &[Device]) {
    for gateway in gateways {
        for setting in OPEN {
            if let Err(error) = set(netlink, &setting.replace("DEVICE", &gateway.name), "0").await {
                tracing::warn!(%error, "a gateway is not closed");
            }
        }
    }
}

/// Has devices that are lent forward.
pub(super) async fn lend(netlink: &Netlink, lending: &Lending) -> Result<(), kernel::Error> {
    for ((_, family, setting), devices) in FAMILIES.into_iter().zip(&lending.devices) {
        for device in devices {
            set(netlink, &of(family, device, setting), "1").await?;
        }
    }
    Ok(())
}

/// Has devices forward no more that were lent and are not to be.
pub(super) async fn take_back(
    netlink: &Netlink,
    lent: &Lending,
    lending: &Lending,
) -> Result<(), kernel::Error> {
    for (at, (_, family, setting)) in FAMILIES.into_iter().enumerate() {
        // Somebody else has the host forward now.
        if forwards(netlink, family).await? {
            continue;
        }
        for device in lent.devices[at].difference(&lending.devices[at]) {
            set(netlink, &of(family, device, setting), "0").await?;
        }
    }
    Ok(())
}

/// Whether the host forwards by itself.
async fn forwards(netlink: &Netlink, family: &str) -> Result<bool, kernel::Error> {
    let all = get(netlink, &of(family, "all", "forwarding")).await?;
    Ok(all.is_some_and(|all| all != "0"))
}

fn of(family: &str, device: &str, setting: &str) -> String {
    format!("{family}/conf/{device}/{setting}")
}

/// `None` where there is no such setting: the device went, or the kernel has none.
async fn get(netlink: &Netlink, name: &str) -> Result<Option<String>, kernel::Error> {
    match netlink.netns().sysctl(name).await {
        Err(kernel::Error::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

async fn set(netlink: &Netlink, name: &str, value: &str) -> Result<(), kernel::Error> {
    match netlink.netns().set_sysctl(name, value).await {
        Err(kernel::Error::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}
