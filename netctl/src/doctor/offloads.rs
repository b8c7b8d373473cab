//! What a device leaves to the CPU.

use crate::kernel::{Error, Netlink};

/// What a device can do, in the kernel's own words, and in those of `ethtool -K`.
const FEATURES: [(&str, &str); 6] = [
    ("tx-tcp-segmentation", "tso"),
    ("tx-generic-segmentation", "gso"),
    ("rx-gro", "gro"),
    ("tx-udp_tnl-segmentation", "tx-udp_tnl-segmentation"),
    ("rx-checksum", "rx"),
    ("tx-checksum-ip-generic", "tx"),
];

/// What a device does not do for the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadOff {
    /// In the words of `ethtool -K`.
    pub word: &'static str,
    /// Whether it can be switched on.
    pub changeable: bool,
}

/// What a device does not do for the CPU.
///
/// # Errors
/// The device is gone, or the kernel does not say.
pub async fn offloads_off(netlink: &Netlink, device: &str) -> Result<Vec<OffloadOff>, Error> {
    let mut off = Vec::new();
    for (name, word) in FEATURES {
        let feature = netlink.feature(device, name).await?;
        let changeable = feature.is_some_and(|feature| feature.changeable);
        if !feature.is_some_and(|feature| feature.on) {
            off.push(OffloadOff { word, changeable });
        }
    }
    Ok(off)
}
