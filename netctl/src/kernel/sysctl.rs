//! The `net` sysctls of a namespace.

use std::{fs, path::PathBuf};

use super::{Error, Netns};

impl Netns {
    /// Sets `/proc/sys/net/<name>` of this namespace, such as `ipv4/conf/eth0/rp_filter`. With slashes, since the name
    /// of a link may contain dots.
    pub async fn set_sysctl(&self, name: &str, value: &str) -> Result<(), Error> {
        let (path, text) = (path(name), value.to_owned());
        // The files below /proc/sys/net are those of the namespace of the thread that opens them (`net_ctl_root`).
        self.run(move || fs::write(path, text)).await?.map_err(|source| Error::Sysctl {
            doing: format!("set to {value}"),
            name: format!("net/{name}"),
            source,
        })
    }

    /// Reads `/proc/sys/net/<name>` of this namespace, without the line's end.
    pub async fn sysctl(&self, name: &str) -> Result<String, Error> {
        let path = path(name);
        self.run(move || fs::read_to_string(path))
            .await?
            .map(|text| text.trim_end().to_owned())
            .map_err(|source| Error::Sysctl {
                doing: "read".to_owned(),
                name: format!("net/{name}"),
                source,
            })
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(name)
}
