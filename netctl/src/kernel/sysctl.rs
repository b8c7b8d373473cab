//! Settings below `/proc/sys/net`, which the kernel shows each process as those of its own network namespace.

use std::fs;

use super::{Error, Netns};

/// Writes a setting of a namespace. `name` is a path below `/proc/sys` (`net/ipv4/conf/eth0/rp_filter`); a setting that
/// has the value already is left alone, so that a read-only `/proc/sys` does no harm where nothing is to be done.
pub fn set_sysctl(netns: &Netns, name: &str, value: &str) -> Result<(), Error> {
    netns.run(|| {
        let path = format!("/proc/sys/{name}");
        if fs::read_to_string(&path).is_ok_and(|current| current.trim() == value) {
            return Ok(());
        }
        fs::write(&path, value).map_err(|source| Error::Setting {
            name: name.replace('/', "."),
            value: value.to_owned(),
            source,
        })
    })?
}
