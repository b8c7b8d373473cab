//! Settings of the network stack of a sandbox.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What stands in the name of a setting for the interface that it is of.
const INTERFACE: &str = "IFNAME";

/// A setting of the kernel's network stack, which each network namespace has for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sysctl {
    /// Below `/proc/sys/net`, with slashes.
    path: String,
    value: String,
}

/// Why a text is no [`Sysctl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    /// It has no value.
    #[error("sysctl {text:?} has no value: write net.NAME=VALUE")]
    Value {
        /// The text.
        text: String,
    },
    /// It is none of the network stack.
    #[error("sysctl {name:?} is not one of a network namespace: they begin with net.")]
    Name {
        /// Its name.
        name: String,
    },
}

impl Sysctl {
    /// Its name below `/proc/sys/net`, with slashes, where it is not of an interface.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same for the interface `device`, which stands where `IFNAME` does.
    pub fn path_of(&self, device: &str) -> String {
        self.path.replace(INTERFACE, device)
    }

    /// Its value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it is of an interface, by `IFNAME` in its name.
    pub fn is_of_interface(&self) -> bool {
        self.path.split('/').any(|part| part == INTERFACE)
    }
}

impl FromStr for Sysctl {
    type Err = SysctlError;

    fn from_str(text: &str) -> Result<Self, SysctlError> {
        let (name, value) = text
            .split_once('=')
            .filter(|(_, value)| !value.trim().is_empty())
            .ok_or_else(|| SysctlError::Value { text: text.to_owned() })?;
        let name = name.trim();
        // As sysctl(8): what separates first, separates, and the other stands in names, as in those of VLANs.
        let path = match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
            Some(b'.') => name
                .chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
            _ => name.to_owned(),
        };
        let wrong = || SysctlError::Name { name: name.to_owned() };
        let path = path.strip_prefix("net/").ok_or_else(wrong)?;
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..") && part.bytes().all(|c| c.is_ascii_graphic())
        };
        if !path.split('/').all(plain) {
            return Err(wrong());
        }
        Ok(Self { path: path.to_owned(), value: value.trim().to_owned() })
    }
}

impl TryFrom<String> for Sysctl {
    type Error = SysctlError;

    fn try_from(text: String) -> Result<Self, SysctlError> {
        text.parse()
    }
}

impl From<Sysctl> for String {
    fn from(sysctl: Sysctl) -> Self {
        sysctl.to_string()
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net/{}={}", self.path, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_name_mean_the_same() {
        for (text, path, value) in [
            ("net.ipv4.ip_forward=1", "ipv4/ip_forward", "1"),
            ("net/ipv4/ip_forward = 1 ", "ipv4/ip_forward", "1"),
            ("net.ipv4.conf.eth0/10.rp_filter=2", "ipv4/conf/eth0.10/rp_filter", "2"),
            ("net/ipv4/conf/eth0.10/rp_filter=2", "ipv4/conf/eth0.10/rp_filter", "2"),
            ("net.ipv4.ip_local_port_range=1024 65000", "ipv4/ip_local_port_range", "1024 65000"),
        ] {
            let sysctl: Sysctl = text.parse().expect(text);
            assert_eq!((sysctl.path(), sysctl.value()), (path, value), "{text}");
            assert_eq!(sysctl.to_string().parse(), Ok(sysctl), "{text}");
        }
    }

    #[test]
    fn one_of_an_interface_has_its_name() {
        let sysctl: Sysctl = "net.ipv4.conf.IFNAME.rp_filter=0".parse().expect("a sysctl");
        assert!(sysctl.is_of_interface());
        assert_eq!(sysctl.path_of("eth7"), "ipv4/conf/eth7/rp_filter");
    }

    #[test]
    fn what_is_unusable_is_said() {
        for (text, why) in [
            ("net.ipv4.ip_forward", "has no value"),
            ("net.ipv4.ip_forward=", "has no value"),
            ("kernel.hostname=x", "is not one of a network namespace"),
            ("net.=1", "is not one of a network namespace"),
            ("net/../kernel/panic=1", "is not one of a network namespace"),
            ("net.ipv4..ip_forward=1", "is not one of a network namespace"),
            ("=1", "is not one of a network namespace"),
        ] {
            let error = text.parse::<Sysctl>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
