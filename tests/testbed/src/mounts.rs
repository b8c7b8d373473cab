//! Mounts of a host's own, for container runtimes: some of their directories are fixed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::eventually;
use crate::host::Host;
use crate::process::Process;

/// Has what a runtime keeps in fixed places in mounts that nobody else sees, those of plugins and network configurations
/// in `$1`, and holds them.
const SCRIPT: &str = r#"
set -e
mkdir -p /run/netns /run/containerd
for dir in /opt /etc/cni /var/lib /dev/shm /run/netns /run/containerd $2; do mount -t tmpfs tmpfs $dir; done
mkdir -p /opt/cni/bin /etc/cni/net.d
mount --bind "$1/bin" /opt/cni/bin
mount --bind "$1/net.d" /etc/cni/net.d
touch "$1/mounted"
exec sleep 1d
"#;

/// What is in the images of containers: a busybox by these names.
const APPLETS: [&str; 9] = ["sh", "sleep", "ping", "nslookup", "wget", "nc", "ip", "cat", "true"];

/// A process that holds the mounts; they go when it does, with all that was mounted there.
#[derive(Debug)]
pub(crate) struct Mounts {
    dir: PathBuf,
    holder: Process,
}

impl Mounts {
    /// Makes them for `host`, with netctl's CNI plugin in its place, and with nothing at `hidden`, if that is anything.
    pub(crate) fn new(host: &Host, hidden: &str) -> Result<Self> {
        let dir = host.netns().file(&format!("{}-cni", host.name()));
        for name in ["bin", "net.d"] {
            fs::create_dir_all(dir.join(name))?;
        }
        let plugin = Path::new("bin").join("netctl-cni");
        symlink(host.netns().file("").join(&plugin), dir.join(&plugin))?;
        let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"];
        let words = words.into_iter().map(OsStr::new).chain([dir.as_os_str(), hidden.as_ref()]);
        let mut holder = host.spawn(&format!("{}-mounts", host.name()), words)?;
        eventually("the mounts are made", Duration::from_secs(10), || {
            ensure!(holder.alive(), "{}", holder.log());
            ensure!(dir.join("mounted").exists(), "they are not");
            Ok(())
        })?;
        Ok(Self { dir, holder })
    }

    /// A directory of the runtime's own, which is made.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Where its network configurations are.
    pub(crate) fn configurations(&self) -> PathBuf {
        self.dir.join("net.d")
    }

    /// Where its plugins are.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// A command of `host` with these mounts.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        host: &Host,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.holder.pid());
        let mut command = host.command(["nsenter", &mounts, "--"]);
        command.args(words);
        command
    }

    /// Makes a root directory for containers.
    pub(crate) fn root(&self) -> Result<PathBuf> {
        let root = self.dir("image")?;
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name))?;
        }
        let busybox = root.join("bin").join("busybox");
        fs::copy("/bin/busybox", busybox).context("there is no busybox: `cargo xtask setup`")?;
        for name in APPLETS {
            symlink(Path::new("busybox"), root.join("bin").join(name))?;
        }
        Ok(root)
    }
}
