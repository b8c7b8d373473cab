//! What a device's driver can do and does, by the ethtool ioctls.

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

use nix::libc;

use super::{Error, Netlink};

// From include/uapi/linux/ethtool.h.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETH_SS_FEATURES: u32 = 4;
/// `ETH_GSTRING_LEN`, in 32-bit words.
const NAME_WORDS: usize = 32 / 4;
/// `struct ethtool_get_features_block`, in 32-bit words: available, requested, active, never changed.
const BLOCK_WORDS: usize = 4;

impl Netlink {
    /// Whether a feature of the device, by the kernel's own name for it (`netdev_features_strings`), is on; `false` for
    /// one that this kernel does not know.
    pub async fn has_feature(&self, device: &str, feature: &'static str) -> Result<bool, Error> {
        Ok(self.feature(device, feature).await?.is_some_and(|feature| feature.on))
    }

    /// How it stands with a feature of the device, by the kernel's own name for it; `None` for one that this kernel does
    /// not know.
    pub async fn feature(
        &self,
        device: &str,
        feature: &'static str,
    ) -> Result<Option<Feature>, Error> {
        let name = device.to_owned();
        self.netns()
            .run(move || read(&name, feature))
            .await?
            .map_err(|source| Error::System { doing: "read the features of the device", source })
    }
}

/// How it stands with a feature of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Whether it is on.
    pub on: bool,
    /// Whether that can be changed: not where its driver has no such feature.
    pub changeable: bool,
}

fn read(device: &str, feature: &str) -> io::Result<Option<Feature>> {
    // Any socket will do: the ioctl is the namespace's, not the protocol's.
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut count = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
    ethtool(&socket, device, &mut count)?;
    let count = count[4];
    let each = |words: usize, count: u32| vec![0; words * usize::try_from(count).unwrap_or(0)];

    let mut names = vec![ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count];
    names.extend(each(NAME_WORDS, count));
    ethtool(&socket, device, &mut names)?;
    let called = |words: &[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.split(|&byte| byte == 0).next() == Some(feature.as_bytes())
    };
    let Some(bit) = names[3..].chunks(NAME_WORDS).position(called) else { return Ok(None) };

    let blocks = count.div_ceil(32);
    let mut features = vec![ETHTOOL_GFEATURES, blocks];
    features.extend(each(BLOCK_WORDS, blocks));
    ethtool(&socket, device, &mut features)?;
    let bit_of = |word: u32| word & (1 << (bit % 32)) != 0;
    let block = features[2..].chunks(BLOCK_WORDS).nth(bit / 32);
    Ok(block.map(|block| Feature {
        on: bit_of(block[2]),
        changeable: bit_of(block[0]) && !bit_of(block[3]),
    }))
}

/// One command; its words are those of its structure, which the kernel fills in.
fn ethtool(socket: &UdpSocket, device: &str, words: &mut [u32]) -> io::Result<()> {
    const SIOCETHTOOL: u32 = 0x8946;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: words.as_mut_ptr().cast() };
    let mut request = libc::ifreq { ifr_name, ifr_ifru };
    // SAFETY: `request` is the structure that this ioctl takes, and points at words that live as long as the call; the
    // sizes in them, which bound what the kernel writes, are those of the slice.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL.into(), &raw mut request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
