//! podman on a host, by its CNI backend.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{DEADLINE, Output, ignore, output};
use crate::host::Host;
use crate::mounts::Mounts;
use crate::run::MARK;

/// What containers run that are to stay: it ends by SIGTERM, as the first process of a namespace must ask for.
const STAY: &str = "trap exit TERM; while :; do sleep 0.1; done";

/// A podman with directories and mounts of its own, and an image `box` of busybox. What it runs goes with this value.
#[derive(Debug)]
pub struct Podman<'a> {
    host: &'a Host,
    mounts: Mounts,
    configuration: PathBuf,
    words: Vec<String>,
}

impl<'a> Podman<'a> {
    pub fn start(host: &'a Host) -> Result<Self> {
        // Its containers have no cgroup: the parent of one is left behind. Its runtime refuses those of both versions,
        // which some machines have, though it needs none.
        let mounts = Mounts::new(host, "/sys/fs/cgroup")?;
        let mut words = vec!["podman".to_owned()];
        for name in ["root", "runroot", "tmpdir"] {
            words.push(format!("--{name}"));
            words.push(mounts.dir(name)?.display().to_string());
        }
        let configuration = mounts.dir("etc")?.join("containers.conf");
        // The mark is for a container's processes too. Without CAP_SYS_RESOURCE no limit can be raised.
        let mark = host.netns().file("").display().to_string();
        let text = format!(
            r#"[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
env = ["PATH=/bin", "{MARK}={}"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "crun"
events_logger = "file"
[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
cni_plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
"#,
            mark.trim_end_matches('/')
        );
        fs::write(&configuration, text)?;
        let podman = Self { host, mounts, configuration, words };
        let (root, archive) = (podman.mounts.root()?, podman.mounts.dir("etc")?.join("image.tar"));
        let tar =
            ["tar", "-C", &root.display().to_string(), "-cf", &archive.display().to_string(), "."];
        host.run(tar)?.ok()?;
        podman.ok(["import", &archive.display().to_string(), "box"])?;
        Ok(podman)
    }

    pub fn host(&self) -> &'a Host {
        self.host
    }

    /// Where it looks for network configurations.
    pub fn configurations(&self) -> PathBuf {
        self.mounts.configurations()
    }

    /// Where it looks for plugins; netctl's is there.
    pub fn plugins(&self) -> PathBuf {
        self.mounts.plugins()
    }

    /// Runs podman with these arguments, whatever comes of it.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Output> {
        let words = self.words.iter().map(OsStr::new);
        let mut command = self.mounts.command(self.host, words);
        command.args(arguments).env("CONTAINERS_CONF", &self.configuration);
        output(command, DEADLINE).with_context(|| format!("on {}", self.host.name()))
    }

    /// Runs podman with these arguments, which must succeed, and gives its stdout.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.run(arguments)?.ok().with_context(|| format!("on {}", self.host.name()))
    }

    /// Starts a container that stays, with these options of `podman run`, and gives its id.
    pub fn start_container(&self, name: &str, options: &[&str]) -> Result<String> {
        let words = [&["run", "--detach", "--name", name], options, &["box", "sh", "-c", STAY]];
        let id = self.ok(words.concat())?;
        Ok(id.trim().to_owned())
    }

    /// Runs a command in a container, which must succeed, and gives its stdout.
    pub fn exec(&self, container: &str, words: &str) -> Result<String> {
        self.ok(["exec", container].into_iter().chain(words.split(' ')))
    }

    /// Removes all containers.
    pub fn clear(&self) -> Result<()> {
        self.ok(["rm", "--all", "--force", "--time", "0"]).map(drop)
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // What is left then ends with the run, by its mark.
        ignore(self.clear());
    }
}
