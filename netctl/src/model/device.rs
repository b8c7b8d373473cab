//! Names of network devices.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name of a device, `IFNAMSIZ` less its end (include/uapi/linux/if.h).
const LONGEST: usize = 15;

/// The name of a network device that a person chose.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(String);

/// A text that no device can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "device name {name:?} must have 1 to {LONGEST} characters without '/', ':', '%' and blanks, and be none of '.', \
     '..', 'all' and 'default'"
)]
pub struct DeviceNameError {
    name: String,
}

impl DeviceName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceNameError;

    fn try_from(name: String) -> Result<Self, DeviceNameError> {
        // What dev_valid_name in net/core/dev.c refuses, what dev_alloc_name takes for a pattern, and what means several
        // devices below /proc/sys/net.
        let odd = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
        let reserved = matches!(&*name, "." | ".." | "all" | "default");
        if name.is_empty() || name.len() > LONGEST || name.contains(odd) || reserved {
            return Err(DeviceNameError { name });
        }
        Ok(Self(name))
    }
}

impl FromStr for DeviceName {
    type Err = DeviceNameError;

    fn from_str(text: &str) -> Result<Self, DeviceNameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_takes() {
        for good in ["eth0", "x", "vlan.10", "fifteen-letters"] {
            assert!(good.parse::<DeviceName>().is_ok(), "{good:?}");
        }
        for bad in ["", "sixteen--letters", "a/b", "a:1", "eth%d", "a b", "..", "all", "default"] {
            let error = bad.parse::<DeviceName>().expect_err(bad).to_string();
            assert!(error.starts_with(&format!("device name {bad:?} must have")), "{error}");
        }
    }
}
