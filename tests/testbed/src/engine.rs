//! A real Docker engine on a host.

mod image;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup;
use crate::command::{DEADLINE, Output, eventually, output};
use crate::netns::Netns;
use crate::process::{Process, child_of};

/// What the engine's containers are made of: busybox, under all its names.
pub const IMAGE: &str = "box";

/// Makes the namespaces of an engine, as the first process in them, and stays to hold them and to reap what others leave.
/// What an engine looks for at fixed places is the lab's: /run is new, /etc/docker and /etc/resolv.conf are bound over.
const HOLD: &str = r#"set -e
own=$1
hostname "$2"
resolv=$(readlink -m /etc/resolv.conf)
mount -t tmpfs -o mode=755 run "$own/run"
mkdir -p "$own/run/docker/plugins"
resolved=/run/systemd/resolve/resolv.conf
if [ -e $resolved ]; then mkdir -p "$own${resolved%/*}"; cp $resolved "$own$resolved"; fi
mount --bind "$own/plugins" "$own/run/docker/plugins"
case $own in /run/*) mkdir -p "$own/run/${own#/run/}"; mount --bind "$own" "$own/run/${own#/run/}" ;; esac
mount --rbind "$own/run" /run
mount --bind "$own/etc" /etc/docker
mkdir -p "${resolv%/*}"
[ -e "$resolv" ] || : >"$resolv"
mount --bind "$own/resolv.conf" "$resolv"
: >/run/ready
while :; do sleep 1d & wait $!; done"#;

/// How an engine is set up.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Whether containers outlive it.
    pub live_restore: bool,
    /// The name servers of its host; those of the machine where none are said, which nothing reaches.
    pub name_servers: Vec<String>,
}

/// A `dockerd` in a host's network namespace, with mount, UTS and PID namespaces of its own. All of them go when this
/// value goes, with every container.
///
/// Plugins are looked for in [`Self::plugins`].
#[derive(Debug)]
pub struct Engine {
    netns: Netns,
    own: PathBuf,
    group: String,
    options: EngineOptions,
    daemon: Mutex<Option<Process>>,
    holder: Process,
    /// The first process in the namespaces.
    init: i32,
}

impl Engine {
    /// Starts one on a host, with [`IMAGE`], and waits until it answers.
    pub fn start(host: &Netns, options: EngineOptions) -> Result<Self> {
        for program in ["dockerd", "docker", "iptables", "busybox"] {
            on_path(program)
                .with_context(|| format!("no {program}: `cargo xtask setup` installs it"))?;
        }
        let netns = Netns::open(host.run_dir(), host.path());
        let own = home(&netns.file(netns.name()));
        for name in ["data", "exec", "run", "etc", "client", "image"] {
            make_anew(&own.join(name))?;
        }
        // A plugin may be there before the engine is.
        fs::create_dir_all(plugins(&own))?;
        let servers = options.name_servers.iter().map(|server| format!("nameserver {server}\n"));
        let servers = servers.collect::<Vec<_>>().concat();
        let of_machine = || fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let servers = if servers.is_empty() { of_machine() } else { servers };
        fs::write(own.join("resolv.conf"), servers)?;
        let live_restore = serde_json::json!({ "live-restore": options.live_restore });
        fs::write(own.join("daemon.json"), live_restore.to_string())?;
        let (holder, init) = hold(&netns, &own)?;
        let group = format!("{}/{}", cgroup::of(netns.run_dir()), netns.name());
        let daemon = Mutex::default();
        let engine = Self { netns, own, group, options, daemon, holder, init };
        engine.run()?;
        image::import(&engine)?;
        Ok(engine)
    }

    /// The arguments of daemons, in [`Options::arguments`](crate::Options::arguments), by which each is a plugin of the
    /// engine of its host, whichever of the two is there first.
    pub fn arguments() -> Vec<String> {
        let home = home(Path::new("{home}"));
        let plugin = plugins(&home).join("netctl.sock");
        let paths = [
            ("--docker-plugin-socket", plugin),
            ("--docker-engine", socket(&home)),
            ("--docker-swarm-socket", swarm(&home)),
        ];
        let words = paths
            .into_iter()
            .flat_map(|(option, path)| [option.to_owned(), path.display().to_string()]);
        words.chain(["--docker".to_owned()]).collect()
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Where its API is.
    pub fn socket(&self) -> PathBuf {
        socket(&self.own)
    }

    /// Where the daemon of its host serves Swarm.
    pub fn swarm_socket(&self) -> PathBuf {
        swarm(&self.own)
    }

    /// The directory that it has as /run/docker/plugins.
    pub fn plugins(&self) -> PathBuf {
        plugins(&self.own)
    }

    /// Starts it after [`Self::stop`], with all that it had, and waits until it answers.
    pub fn run(&self) -> Result<()> {
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(!daemon.as_mut().is_some_and(Process::alive), "the engine runs already");
        let own = |name: &str| self.own.join(name).into_os_string();
        let target = self.init.to_string();
        let mut words: Vec<OsString> =
            ["nsenter", "--target", &target, "--mount", "--uts", "--pid", "--", "dockerd"]
                .map(OsString::from)
                .into();
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "docker.pid"),
            ("--config-file", "daemon.json"),
        ] {
            words.extend([option.into(), own(name)]);
        }
        let host = format!("unix://{}", self.socket().display());
        for word in [
            "-H",
            &host,
            "--cgroup-parent",
            &self.group,
            // That of systemd needs one.
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
        ] {
            words.push(word.into());
        }
        let mut process = self.netns.spawn(&format!("{}.docker", self.netns.name()), words)?;
        eventually("the engine answers", Duration::from_mins(1), || {
            if !process.alive() {
                return Ok(Err(process.log()));
            }
            self.ok(["version"])?;
            Ok(Ok(()))
        })?
        .or_else(|log| bail!("the engine ended:\n{log}"))?;
        *daemon = Some(process);
        Ok(())
    }

    /// Ends it by `signal`, and waits until it is gone. Containers go on where it was killed, or has live-restore.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        let mut daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut process) = daemon.take() else { bail!("the engine does not run") };
        // It is the one child of what entered its namespaces, which ends with it.
        let pid = child_of(process.pid()).context("the engine has ended")?;
        kill(Pid::from_raw(pid), signal).context("cannot signal the engine")?;
        process.wait(DEADLINE)
    }

    /// Ends it by `signal` and starts it again.
    pub fn restart(&self, signal: Signal) -> Result<()> {
        self.stop(signal)?;
        self.run()
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        let log = self.netns.file(&format!("{}.docker.log", self.netns.name()));
        fs::read_to_string(log).unwrap_or_default()
    }

    /// A command on its host that talks to it.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.netns.command(words);
        for (name, _) in std::env::vars_os() {
            // Settings for an engine of the machine are not those for this one.
            if name.to_string_lossy().starts_with("DOCKER_") {
                command.env_remove(name);
            }
        }
        let host = format!("unix://{}", self.socket().display());
        command.env("DOCKER_HOST", host).env("DOCKER_CONFIG", self.own.join("client"));
        command
    }

    /// Runs `docker` with these arguments, for at most [`DEADLINE`], whatever comes of it.
    pub fn docker<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        self.docker_within(DEADLINE, arguments)
    }

    /// Runs `docker` with these arguments, for at most `deadline`, whatever comes of it.
    pub fn docker_within<A: AsRef<OsStr>>(
        &self,
        deadline: Duration,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        let mut words = vec![client().into_os_string()];
        words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        output(self.command(words), deadline)
            .with_context(|| format!("on the engine of {}", self.netns.name()))
    }

    /// Runs `docker` with these arguments, which must succeed, and gives its stdout without the last line's end.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let stdout = self.docker(arguments)?.ok();
        let stdout = stdout.with_context(|| format!("on the engine of {}", self.netns.name()))?;
        Ok(stdout.trim_end().to_owned())
    }

    /// The network namespace of a container that runs, for sockets of a test's own.
    pub fn netns_of(&self, container: &str) -> Result<Netns> {
        let key = self.ok(["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", container])?;
        let key = Path::new(&key).strip_prefix("/");
        let key = key.with_context(|| format!("container {container} does not run"))?;
        // The file is a mount in the engine's own mount namespace.
        Ok(Netns::open(self.netns.run_dir(), &root_of(self.init).join(key)))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // With the first process of its PID namespace every other goes, and its own parent waits for all of them.
        if self.holder.alive() && kill(Pid::from_raw(self.init), Signal::SIGKILL).is_ok() {
            // Where that fails, all of it is found again with the run's directory.
            crate::command::ignore(self.holder.wait(Duration::from_secs(10)));
        }
    }
}

/// A program on the PATH.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The client that was installed with the engine, where there are several: newer ones refuse what older engines do.
fn client() -> PathBuf {
    let beside = on_path("dockerd").and_then(|engine| {
        let prefix = engine.parent()?.parent()?.to_owned();
        Some(prefix.join("bin").join("docker")).filter(|client| client.is_file())
    });
    beside.unwrap_or_else(|| PathBuf::from("docker"))
}

/// The directory that the engine of a host has to itself, below the host's own.
fn home(host: &Path) -> PathBuf {
    host.join("docker")
}

/// Where the API of the engine with this directory is.
fn socket(home: &Path) -> PathBuf {
    home.join("docker.sock")
}

/// Where the daemon serves the Swarm of the engine with this directory, which its managed plugins see.
fn swarm(own: &Path) -> PathBuf {
    own.join("swarm").join("netctl.sock")
}

/// What the engine with this directory has as /run/docker/plugins.
fn plugins(home: &Path) -> PathBuf {
    home.join("plugins")
}

/// An empty directory, whatever was there.
fn make_anew(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// The files as a process sees them.
fn root_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root"))
}

/// Makes the namespaces of an engine: the process that made them, and the first in them.
fn hold(netns: &Netns, own: &Path) -> Result<(Process, i32)> {
    let apart = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=KILL"];
    let shell = ["--mount-proc", "--propagation", "slave", "sh", "-c", HOLD, "sh"];
    let words = apart.iter().chain(&shell).map(OsString::from);
    let words = words.chain([own.as_os_str().to_owned(), netns.name().into()]);
    let mut holder = netns.spawn(&format!("{}.docker", netns.name()), words)?;
    let init = eventually("the engine's namespaces are there", Duration::from_secs(10), || {
        if !holder.alive() {
            return Ok(Err(holder.log()));
        }
        let init = child_of(holder.pid()).context("it has no first process")?;
        ensure!(root_of(init).join("run/ready").exists(), "{}", holder.log());
        Ok(Ok(init))
    })?;
    init.or_else(|log| bail!("cannot make the engine's namespaces:\n{log}"))
        .map(|init| (holder, init))
}
