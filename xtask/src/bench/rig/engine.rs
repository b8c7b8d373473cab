//! Docker's own overlay: two engines as one swarm, each on a host of a pair, with an attachable
//! network and a container on each.
//!
//! An engine is one process tree in PID, mount and UTS namespaces of its own, so it ends with its
//! first process, and its mounts with it. Its control groups do not: they are below one name, by
//! which they are found and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Netns, Process, address, eventually, output_of};

use super::{Ends, Pair, Parts};

/// The control group of all that the engines start, in each hierarchy.
const GROUP: &str = "netctl-bench";

/// What the containers are made of: a root with nothing but this machine's own programs in it.
const IMAGE: &str = "netctl-bench";

/// One engine.
pub(super) struct Engine {
    socket: String,
    process: Process,
    exec: PathBuf,
}

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    for program in ["dockerd", "docker", "iptables"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).any(|place| place.join(program).is_file());
        ensure!(found, "no engine is installed: there is no {program}");
    }
    let pair = Pair::new(dir, "engine")?;
    let [h1, h2] = &pair.hosts;
    let engines = [Engine::start(dir, h1, 1)?, Engine::start(dir, h2, 2)?];
    let [first, second] = &engines;
    let (a1, a2) = (address(1), address(2));
    let pool = ["--default-addr-pool", "10.66.0.0/16"];
    let (l1, l2) = (format!("{a1}:2377"), format!("{a2}:2377"));
    let init = ["swarm", "init", "--advertise-addr", &a1, "--listen-addr", &l1];
    first.docker(init.iter().chain(&pool))?;
    let token = first.docker(["swarm", "join-token", "-q", "worker"])?;
    let join = ["swarm", "join", "--advertise-addr", &a2, "--listen-addr", &l2];
    second.docker(join.iter().chain(&["--token", token.trim(), &l1]))?;
    let subnet = ["--attachable", "--subnet", "10.7.0.0/24", "bench"];
    first.docker(["network", "create", "-d", "overlay"].iter().chain(&subnet))?;
    let near = first.container(dir, "near", "10.7.0.11")?;
    let far = second.container(dir, "far", "10.7.0.12")?;
    eventually("containers of the engines reach each other", Duration::from_secs(30), || {
        near.run(["ping", "-c", "1", "-W", "1", "10.7.0.12"])?.ok()
    })?;
    let parts = Parts::Engines(pair, Box::new(engines));
    Ok(Ends { near, far, address: "10.7.0.12".to_owned(), parts })
}

impl Engine {
    fn start(dir: &Path, host: &Netns, number: u8) -> Result<Self> {
        let own = dir.join(format!("engine{number}"));
        let place = |name: &str| own.join(name).display().to_string();
        for name in ["run", "data", "exec"] {
            fs::create_dir_all(own.join(name))
                .with_context(|| format!("cannot make {}", place(name)))?;
        }
        fs::write(own.join("daemon.json"), "{}")?;
        // The folder of plugins is fixed, so each engine gets one of its own mounted there.
        let script = format!(
            "hostname engine{number} && mkdir -p /run/docker && mount --bind {run} /run/docker && \
             exec dockerd --data-root {data} --exec-root {exec} --pidfile {own}/docker.pid \
             --config-file {own}/daemon.json --cgroup-parent /{GROUP} -H unix://{own}/docker.sock",
            run = place("run"),
            data = place("data"),
            exec = place("exec"),
            own = own.display(),
        );
        let apart = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=KILL"];
        let shell = ["--mount-proc", "sh", "-c", &script];
        let process = host.spawn(&format!("engine{number}"), apart.iter().chain(&shell))?;
        let socket = format!("unix://{}", place("docker.sock"));
        let mut engine = Self { socket, process, exec: own.join("exec") };
        eventually("the engine answers", Duration::from_secs(30), || {
            ensure!(engine.process.alive(), "it ended: {}", engine.process.log());
            engine.docker(["version"])
        })?;
        Ok(engine)
    }

    fn docker<A: AsRef<str>>(&self, words: impl IntoIterator<Item = A>) -> Result<String> {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        let all = ["-H".to_owned(), self.socket.clone()].into_iter().chain(words);
        output_of("docker", all)?.ok()
    }

    /// Runs a container that does nothing, and gives its namespace.
    fn container(&self, dir: &Path, name: &str, address: &str) -> Result<Netns> {
        let (root, tar) = (dir.join("image"), dir.join("image.tar"));
        fs::create_dir_all(&root)?;
        let (root, tar) = (root.display().to_string(), tar.display().to_string());
        output_of("tar", ["-C", &root, "-cf", &tar, "."])?.ok()?;
        self.docker(["import", &tar, IMAGE])?;
        let mut words = vec!["run", "-d", "--name", name, "--network", "bench", "--ip", address];
        for mount in ["/bin:/bin:ro", "/lib:/lib:ro", "/lib64:/lib64:ro", "/usr:/usr:ro"] {
            words.extend(["-v", mount]);
        }
        words.extend([IMAGE, "/bin/sleep", "1d"]);
        self.docker(words)?;
        let text = self.docker(["inspect", name])?;
        let view: Value = serde_json::from_str(&text)?;
        let key = view.pointer("/0/NetworkSettings/SandboxKey").and_then(Value::as_str);
        let key = key.with_context(|| format!("container {name} has no namespace: {text}"))?;
        let file = Path::new(key).file_name().context("its namespace has no name")?;
        // The file is a mount in the engine's own mount namespace.
        let outside = format!("/proc/{}/root{}/netns", self.process.pid(), self.exec.display());
        Ok(Netns::open(dir, &Path::new(&outside).join(file)))
    }

    /// Has it remove what it made, as far as it still can, and ends it.
    pub(super) fn end(self) -> Result<()> {
        self.docker(["rm", "-f", "near", "far"]).map(drop).or_else(|error| {
            // Each engine has one of the two.
            let text = format!("{error:#}");
            ensure!(text.contains("No such container"), "{text}");
            Ok(())
        })?;
        drop(self.process);
        Ok(())
    }
}

/// Removes the control groups of engines that are gone; those that hold processes stay.
pub(in crate::bench) fn sweep() {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    let own = Path::new("/sys/fs/cgroup").join(GROUP);
    let each = hierarchies.flatten().map(|entry| entry.path().join(GROUP));
    each.chain([own]).filter(|group| group.is_dir()).for_each(|group| remove(&group));
}

/// The group's files are the kernel's; it goes by `rmdir(2)` once it has no groups below it.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // Busy ones have processes, which belong to somebody.
    drop(fs::remove_dir(group));
}
