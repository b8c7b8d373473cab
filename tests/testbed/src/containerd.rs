//! containerd on a host, by its own client `ctr`.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{DEADLINE, Output, eventually, ignore, output};
use crate::host::Host;
use crate::mounts::Mounts;
use crate::process::Process;
use crate::run::MARK;

/// A containerd with directories and mounts of its own, and a root directory with a busybox for containers. What it
/// runs goes with this value.
#[derive(Debug)]
pub struct Containerd<'a> {
    host: &'a Host,
    // Before the mounts, which it is in.
    process: Process,
    mounts: Mounts,
    socket: PathBuf,
    image: PathBuf,
}

impl<'a> Containerd<'a> {
    pub fn start(host: &'a Host) -> Result<Self> {
        let mounts = Mounts::new(host, "")?;
        let (root, state) = (mounts.dir("containerd-root")?, mounts.dir("containerd-state")?);
        let socket = state.join("containerd.sock");
        let configuration = mounts.dir("etc")?.join("containerd.toml");
        let text = format!(
            r#"version = 2
root = "{}"
state = "{}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{}"
"#,
            root.display(),
            state.display(),
            socket.display()
        );
        fs::write(&configuration, text)?;
        let image = mounts.root()?;
        let words = [OsStr::new("containerd"), OsStr::new("--config"), configuration.as_os_str()];
        let command = mounts.command(host, words);
        let log = host.netns().file(&format!("{}-containerd.log", host.name()));
        let mut process = Process::start(command, &log)?;
        eventually("containerd answers", Duration::from_secs(20), || {
            ensure!(process.alive(), "{}", process.log());
            ensure!(socket.exists(), "it does not");
            Ok(())
        })?;
        Ok(Self { host, process, mounts, socket, image })
    }

    /// Where it looks for network configurations.
    pub fn configurations(&self) -> PathBuf {
        self.mounts.configurations()
    }

    /// Where it looks for plugins; netctl's is there.
    pub fn plugins(&self) -> PathBuf {
        self.mounts.plugins()
    }

    /// Runs `ctr` with these arguments, whatever comes of it.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Output> {
        let words = [OsStr::new("ctr"), OsStr::new("--address"), self.socket.as_os_str()];
        let mut command = self.mounts.command(self.host, words);
        command.args(arguments);
        output(command, DEADLINE).with_context(|| format!("on {}", self.host.name()))
    }

    /// Runs `ctr` with these arguments, which must succeed, and gives its stdout.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.run(arguments)?.ok().with_context(|| format!("on {}", self.host.name()))
    }

    /// `ctr run --cni` of a command in a container, with these options.
    pub fn run_container(&self, id: &str, options: &[&str], words: &[&str]) -> Result<String> {
        // The mark is for the container's processes too.
        let mark = host_mark(self.host);
        let image = self.image.display().to_string();
        // No parent of its cgroup is left behind.
        let fixed = ["run", "--cni", "--cgroup", "", "--env", &mark, "--env", "PATH=/bin"];
        let own = [&fixed[..], options, &["--rootfs", &image, id], words].concat();
        self.ok(own)
    }
}

fn host_mark(host: &Host) -> String {
    let dir = host.netns().file("").display().to_string();
    format!("{MARK}={}", dir.trim_end_matches('/'))
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        let listed = self.run(["task", "list", "--quiet"]).map(|output| output.stdout);
        for task in listed.unwrap_or_default().lines() {
            // What is left then ends with the run, by its mark.
            ignore(self.run(["task", "delete", "--force", task]));
        }
        ignore(self.process.stop(nix::sys::signal::Signal::SIGTERM, Duration::from_secs(5)));
    }
}
