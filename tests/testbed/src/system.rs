//! A host as a whole system, with an init of its own: for what is installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cgroup;
use crate::command::{DEADLINE, Output, eventually, output};
use crate::host::Host;
use crate::process::{Process, child_of, is_first};
use crate::run::MARK;

/// Has the shell in the group `$1`, where systemd makes its groups, and then in namespaces of its own.
const GROUP: &str = r#"set -e
for all in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e $all/cgroup.procs ] || continue
    mkdir -p "$all$1"
    echo $$ >"$all$1/cgroup.procs"
done
exec unshare --mount --pid --cgroup --uts --ipc --fork --kill-child=KILL --propagation private sh -c "$2" sh "$3""#;

/// Starts systemd on a copy of this machine's files: what is written goes to memory, below `$1`. Of the machine's own
/// services none is started.
const BOOT: &str = r#"set -e
mkdir "$1"
mount -t tmpfs system "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf bpf sys/fs/bpf
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs groups sys/fs/cgroup
    mkdir sys/fs/cgroup/unified sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd groups sys/fs/cgroup/systemd
fi
mount -t tmpfs run run
mount --rbind /dev dev
rm -rf lib/systemd/system/*.target.wants etc/systemd/system/*.wants etc/systemd/system/*.requires
printf '[Unit]\nDefaultDependencies=no\n' >etc/systemd/system/testbed.target
export container=testbed
exec chroot . /lib/systemd/systemd --unit=testbed.target --log-target=console"#;

/// systemd in a host's network namespace, with a copy of this machine's files. All of it goes when this value goes.
#[derive(Debug)]
pub struct System {
    run: PathBuf,
    holder: Process,
    init: i32,
}

impl System {
    /// Starts one on a host, and waits until it is up.
    pub fn start(host: &Host) -> Result<Self> {
        let run = host.netns().run_dir();
        let own = host.netns().file(&format!("{}-system", host.name()));
        let group = format!("{}/{}", cgroup::of(run), host.name());
        let words = ["sh", "-c", GROUP, "sh", &group, BOOT].map(OsStr::new);
        let words = words.into_iter().chain([own.as_os_str()]);
        let mut holder = host.netns().spawn(&format!("{}-system", host.name()), words)?;
        let init = eventually("the system has a first process", DEADLINE, || {
            if !holder.alive() {
                return Ok(Err(holder.log()));
            }
            // What makes the group has others, one after another, before it.
            Ok(Ok(child_of(holder.pid()).filter(|pid| is_first(*pid)).context("it has none")?))
        })?
        .or_else(|log| bail!("cannot make the system:\n{log}"))?;
        let system = Self { run: run.to_owned(), holder, init };
        eventually("the system is up", DEADLINE, || {
            let said = system.run(["systemctl", "is-system-running"])?;
            ensure!(said.stdout == "running\n", "{said:?}: {}", system.log());
            Ok(())
        })?;
        Ok(system)
    }

    /// A command in it.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--uts", "--ipc", "--net"]);
        command.args(["--pid", "--cgroup", "--root", "--wd", "--"]).args(words);
        command.env_clear().env(MARK, &self.run).env("HOME", "/root");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a command in it, whatever comes of it.
    pub fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Result<Output> {
        output(self.command(words), DEADLINE)
    }

    /// Runs a command in it, which must succeed, and gives its stdout.
    pub fn ok<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Result<String> {
        self.run(words)?.ok()
    }

    /// Starts a command in it in the background; its output goes to `log`.
    pub fn spawn<A: AsRef<OsStr>>(
        &self,
        log: &Path,
        words: impl IntoIterator<Item = A>,
    ) -> Result<Process> {
        Process::start(self.command(words), log)
    }

    /// What its init said.
    pub fn log(&self) -> String {
        self.holder.log()
    }
}
