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

/// What a device could do for the CPU and does not, in the words of `ethtool -K`.
///
/// # Errors
/// The device is gone, or the kernel does not say.
pub async fn offloads_off(netlink: &Netlink, device: &str) -> Result<Vec<&'static str>, Error> {
    let mut off = Vec::new();
    for (feature, word) in FEATURES {
        if !netlink.has_feature(device, feature).await? {
            off.push(word);
        }
    }
    Ok(off)
}
