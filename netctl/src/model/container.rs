//! Containers as a CNI runtime has them, and what is asked for them.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    AttachSpec, DeviceName, InterfaceView, NetworkSpec, ResolverOption, SearchDomain, ServiceSpec,
};

/// The longest [`CniName`]: a file can be called so (`NAME_MAX` of include/uapi/linux/limits.h).
const LONGEST: usize = 255;

/// What a CNI runtime calls a container or a network configuration (CNI specification 1.1.0, sections 1 and 2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CniName(String);

/// A text that CNI calls nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} must have 1 to {LONGEST} letters, digits, '-', '_' and '.', and begin with a letter or digit"
)]
pub struct CniNameError {
    name: String,
}

impl CniName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CniName {
    type Error = CniNameError;

    fn try_from(name: String) -> Result<Self, CniNameError> {
        let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let begins = name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if begins && name.len() <= LONGEST && name.bytes().all(inner) {
            Ok(Self(name))
        } else {
            Err(CniNameError { name })
        }
    }
}

impl FromStr for CniName {
    type Err = CniNameError;

    fn from_str(text: &str) -> Result<Self, CniNameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<CniName> for String {
    fn from(name: CniName) -> Self {
        name.0
    }
}

impl fmt::Display for CniName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CniName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A container to join to a network: its sandbox is made with the first of its networks, and the network where it is
/// not there. All of it happens, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSpec {
    /// The container.
    pub container: CniName,
    /// The network configuration that says so.
    pub configuration: CniName,
    /// Where the container's network namespace may be found: as the runtime calls it, and as the caller holds it, for a
    /// daemon that does not see the former since the runtime has mounts of its own.
    pub netns: Vec<PathBuf>,
    /// The device and the inode of that namespace, the same for all who look at it (`ioctl_ns(2)`). What has others, where
    /// it should be, is another.
    pub netns_id: (u64, u64),
    /// What its interface is to be called.
    pub device: DeviceName,
    /// The network. Where it is there, it must have this driver and these subnets, as far as they are given.
    pub network: NetworkSpec,
    /// The service that the container becomes there, which names no network. Where its name is another's, it gets one
    /// with a part of the container's identifier.
    pub service: ServiceSpec,
    /// Name servers to ask for names from outside, in place of the host's. Of a container's networks, the first that
    /// says some says them for all.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Domains to look for names in.
    #[serde(default)]
    pub dns_search: Vec<SearchDomain>,
    /// Options for its resolver.
    #[serde(default)]
    pub dns_options: Vec<ResolverOption>,
}

impl JoinSpec {
    /// How its service is attached.
    pub fn attach(&self, sandbox: impl Into<String>) -> AttachSpec {
        AttachSpec {
            device: Some(self.device.clone()),
            configuration: Some(self.configuration.clone()),
            ..AttachSpec::to(sandbox)
        }
    }
}

/// What a container has on a network that it joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinView {
    /// Its interface.
    pub interface: InterfaceView,
    /// The gateways of the network's subnets, where its names are served.
    pub gateways: Vec<IpAddr>,
}

/// An attachment as CNI knows it: a container, and an interface in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerDevice {
    /// The container.
    pub container: CniName,
    /// What its interface is called.
    pub device: DeviceName,
}

/// An attachment to undo. The container's sandbox goes with the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveSpec {
    /// The network configuration that made it.
    pub configuration: CniName,
    /// Which one.
    pub attachment: ContainerDevice,
}

/// Attachments to keep, while all others that a network configuration made are undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetainSpec {
    /// The network configuration.
    pub configuration: CniName,
    /// What stays.
    pub keep: Vec<ContainerDevice>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_cni_takes() {
        let longest = "a".repeat(255);
        for good in ["k8s.io-t1", "0", "a_b.c-", &"0123456789abcdef".repeat(4), &longest] {
            assert!(good.parse::<CniName>().is_ok(), "{good:?}");
        }
        let long = "a".repeat(256);
        for bad in ["", ".a", "-a", "a/b", "a b", "ä", &long] {
            let error = bad.parse::<CniName>().expect_err(bad).to_string();
            assert!(error.starts_with(&format!("{bad:?} must have 1 to 255 letters")), "{error}");
        }
    }
}
