//! A whole lab: underlay, hosts, store, daemons.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::command::eventually;
use crate::etcd::Etcd;
use crate::host::Host;
use crate::netns::Netns;
use crate::process::Identity;
use crate::run::{Run, gone};
use crate::underlay::{EXTERNAL, Families, Underlay, join_directly};

/// Which store the daemons share.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum Store {
    /// The embedded store: one file that all daemons open.
    #[default]
    File,
    /// A real etcd on the underlay.
    Etcd,
    /// A real etcd of three members.
    Etcds,
    /// None: each daemon has an embedded store of its own.
    Apart,
}

impl Store {
    /// How many members of an etcd it has.
    fn members(self) -> u8 {
        match self {
            Self::File | Self::Apart => 0,
            Self::Etcd => 1,
            Self::Etcds => 3,
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::File => "file",
            Self::Etcd => "etcd",
            Self::Etcds => "etcds",
            Self::Apart => "apart",
        })
    }
}

/// What is between the hosts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum Wiring {
    /// A bridge, to which `external` and etcd are joined too.
    #[default]
    Bridge,
    /// One veth pair, for exactly two hosts and nothing else: the rig to measure on.
    Direct,
}

/// What lab to make.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Options {
    /// From 1 to 200.
    pub hosts: u8,
    pub store: Store,
    pub wiring: Wiring,
    /// The underlay's, in bytes.
    pub mtu: u32,
    /// The hosts' addresses on it.
    #[serde(default)]
    pub families: Families,
    /// Whether each host gets a daemon; [`Lab::start_daemon`] starts one later.
    pub daemons: bool,
    /// Further arguments of each daemon, in which `{home}` is the host's own directory.
    pub arguments: Vec<String>,
    /// `netctl`, where it is not `NETCTL_BIN` nor the one that cargo has put beside this program.
    pub binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts: 2,
            store: Store::File,
            wiring: Wiring::Bridge,
            mtu: 1500,
            families: Families::V4,
            daemons: true,
            arguments: Vec::new(),
            binary: None,
        }
    }
}

impl Options {
    fn program(&self) -> Result<PathBuf> {
        self.binary.clone().map_or_else(binary, Ok)
    }
}

/// What is written down for a later process: see [`Lab::keep`].
#[derive(Deserialize, Serialize)]
struct Record {
    options: Options,
    daemons: Vec<Option<Identity>>,
    etcds: Vec<Option<Identity>>,
}

/// A lab that is up. Dropping it takes everything down; if that happens in a panic, the daemons'
/// last words are printed first.
#[derive(Debug)]
pub struct Lab {
    // Fields are dropped in this order: processes and namespaces before the directory they are in.
    hosts: Vec<Host>,
    external: Option<Host>,
    etcds: Vec<Etcd>,
    underlay: Option<Underlay>,
    options: Options,
    run: Run,
}

impl Lab {
    /// Makes a lab of its own, under a name that no other has.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_in(Run::new()?, options)
    }

    /// Makes a lab in the directory of `run`, which is made anew.
    pub fn start_in(run: Run, options: Options) -> Result<Self> {
        ensure!(
            (1..=200).contains(&options.hosts),
            "{} hosts are asked for: a lab has 1 to 200",
            options.hosts
        );
        run.make()?;
        let dir = run.dir().to_owned();
        link_binary(&dir, &options.program()?)?;
        let mut lab = Self {
            hosts: Vec::new(),
            external: None,
            etcds: Vec::new(),
            underlay: None,
            options,
            run,
        };
        for number in 1..=lab.options.hosts {
            let netns = Netns::new(&dir, &format!("h{number}"))?;
            lab.hosts.push(Host::new(&dir, netns, number));
        }
        match lab.options.wiring {
            Wiring::Bridge => lab.bridge(&dir)?,
            Wiring::Direct => lab.wire()?,
        }
        if lab.options.daemons {
            lab.start_daemons()?;
        }
        Ok(lab)
    }

    fn bridge(&mut self, dir: &Path) -> Result<()> {
        let underlay = Underlay::of(dir, self.options.mtu, self.options.families)?;
        for host in &self.hosts {
            underlay.join(host.netns(), host.number())?;
        }
        let external = Netns::new(dir, "external")?;
        underlay.join(&external, EXTERNAL)?;
        self.external = Some(Host::new(dir, external, EXTERNAL));
        self.etcds = Etcd::start_all(dir, &underlay, self.options.store.members())?;
        self.underlay = Some(underlay);
        Ok(())
    }

    fn wire(&self) -> Result<()> {
        ensure!(self.options.store.members() == 0, "hosts wired directly have no place for etcd");
        let [left, right] = self.hosts.as_slice() else {
            bail!("{} hosts cannot be wired directly: two can", self.hosts.len());
        };
        join_directly(left.netns(), right.netns(), self.options.mtu, self.options.families)
    }

    fn start_daemons(&self) -> Result<()> {
        let binary = self.options.program()?;
        ensure!(
            binary.exists(),
            "there is no {}: build it with `cargo build -p netctl`, or name one in NETCTL_BIN",
            binary.display()
        );
        for host in &self.hosts {
            host.launch(&self.store_of(host), &self.options.arguments)?;
        }
        self.hosts.iter().try_for_each(Host::wait)
    }

    /// The lab that an earlier process has made in the directory of `run` and kept; it stays up
    /// when this value goes. [`None`] if there is none; what a failed one has left is cleaned then.
    pub fn open(mut run: Run) -> Result<Option<Self>> {
        let dir = run.dir().to_owned();
        let path = record_path(&dir);
        if !path.exists() {
            return Ok(None);
        }
        run.disown();
        let text = fs::read_to_string(&path)?;
        let record: Record = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: take the lab down", path.display()))?;
        let numbered = (1..=record.options.hosts).zip(record.daemons);
        let hosts = numbered
            .map(|(number, daemon)| Host::open(&dir, &format!("h{number}"), number, daemon))
            .collect();
        let external = Host::open(&dir, "external", EXTERNAL, None);
        let members = record.options.store.members();
        let etcds = (0..members).zip(record.etcds);
        let etcds = etcds.map(|(number, etcd)| Etcd::open(&dir, number, members, etcd)).collect();
        let external = Some(external).filter(|_| record.options.wiring == Wiring::Bridge);
        Ok(Some(Self { hosts, external, etcds, underlay: None, options: record.options, run }))
    }

    /// Leaves the lab up when this value and this process go, for [`Lab::open`].
    pub fn keep(mut self) -> Result<()> {
        let record = Record {
            options: self.options,
            daemons: self.hosts.iter().map(Host::identity).collect(),
            etcds: self.etcds.iter().map(Etcd::identity).collect(),
        };
        let text = serde_json::to_string_pretty(&record)?;
        fs::write(record_path(self.run.dir()), text).context("cannot write the lab's record")?;
        self.hosts.into_iter().chain(self.external).for_each(Host::keep);
        self.etcds.into_iter().for_each(Etcd::keep);
        if let Some(underlay) = self.underlay {
            underlay.keep();
        }
        self.run.disown();
        Ok(())
    }

    /// Takes everything down, and fails where something of it could not be removed or is left.
    pub fn end(self) -> Result<()> {
        let Self { hosts, external, etcds, underlay, options: _, run } = self;
        drop((hosts, external, etcds, underlay));
        let dir = run.dir().to_owned();
        run.end()?;
        gone(&dir)
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The directory that holds all of it.
    pub fn dir(&self) -> &Path {
        self.run.dir()
    }

    /// Host `number`, from 1.
    ///
    /// # Panics
    /// If the lab has no such host.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A host by name, `external` among them.
    pub fn find(&self, name: &str) -> Result<&Host> {
        let mut all = self.hosts.iter().chain(&self.external);
        all.find(|host| host.name() == name).ok_or_else(|| {
            let names: Vec<&str> =
                self.hosts.iter().chain(&self.external).map(Host::name).collect();
            anyhow!("the lab has no host {name}: it has {}", names.join(", "))
        })
    }

    /// The host outside every network.
    ///
    /// # Panics
    /// If the hosts are wired directly.
    pub fn external(&self) -> &Host {
        self.external.as_ref().expect("only a lab on a bridge has a host outside")
    }

    /// The etcd, where the lab has one; the first member of several.
    pub fn etcd(&self) -> Option<&Etcd> {
        self.etcds.first()
    }

    /// All members of the etcd.
    pub fn etcds(&self) -> &[Etcd] {
        &self.etcds
    }

    /// The namespace of the underlay's bridge: what crosses it can be captured on the device
    /// `underlay`, or on the port named like a host.
    pub fn underlay(&self) -> Netns {
        Netns::open(self.dir(), &self.dir().join("ns").join("underlay"))
    }

    /// The `--store` argument of a host's daemon.
    pub fn store_of(&self, host: &Host) -> String {
        match self.options.store {
            Store::File => format!("file:{}", self.dir().join("store.db").display()),
            Store::Apart => format!("file:{}", host.dir("state").join("store.db").display()),
            Store::Etcd if self.options.families == Families::V6 => {
                format!("etcd:{}", Etcd::url6())
            }
            Store::Etcd | Store::Etcds => {
                let urls: Vec<String> = self.etcds.iter().map(Etcd::own_url).collect();
                format!("etcd:{}", urls.join(","))
            }
        }
    }

    /// Starts a host's daemon, and waits until it answers.
    pub fn start_daemon(&self, host: &Host) -> Result<()> {
        host.launch(&self.store_of(host), &self.options.arguments)?;
        host.wait()
    }

    /// Ends a host's daemon by `signal`, starts it again, and waits until it answers.
    pub fn restart_daemon(&self, host: &Host, signal: Signal) -> Result<()> {
        host.stop_daemon(signal)?;
        self.start_daemon(host)
    }

    /// What a host's daemon is run by, with further arguments: for what `netctl daemon` does besides running. In a debug
    /// build it kills itself at a step as the daemon would ([`Host::crash_file`]).
    pub fn daemon_command(&self, host: &Host, further: &[&str]) -> Command {
        let further: Vec<String> = further.iter().map(|&word| word.to_owned()).collect();
        let all = [&self.options.arguments[..], &further[..]].concat();
        host.daemon_command(&self.store_of(host), &all)
    }

    /// Does `work` while a host's daemon, of a debug build, is to kill itself at its step of that number, and starts it
    /// again where it did. Says at which step, by its name; nothing where it had done all before.
    pub fn dying_at<T>(
        &self,
        host: &Host,
        step: usize,
        work: impl FnOnce() -> T,
    ) -> Result<(T, Option<String>)> {
        let file = host.crash_file();
        fs::write(&file, step.to_string())?;
        let done = work();
        // Held, so that the daemon passes no step while this is found out.
        let held = Flock::lock(File::open(&file)?, FlockArg::LockExclusive);
        let held = held.map_err(|(_, errno)| errno)?;
        let place = io::read_to_string(&*held)?;
        fs::remove_file(&file)?;
        drop(held);
        // What is left of the number is how many steps were still to come.
        if place.parse::<usize>().is_ok() {
            return Ok((done, None));
        }
        let again = || {
            eventually("the daemon is dead", Duration::from_secs(5), || {
                ensure!(host.daemon_pid().is_none(), "it lives");
                Ok(())
            })?;
            self.start_daemon(host)
        };
        again().with_context(|| format!("after it died at step {step}, {place}"))?;
        Ok((done, Some(place)))
    }

    /// Adds to an error what the daemons said last.
    pub fn explain(&self, error: Error) -> Error {
        let said: String = self.hosts.iter().map(Host::epilogue).collect();
        if said.is_empty() { error } else { anyhow!("{error:#}\n{said}") }
    }
}

fn record_path(dir: &Path) -> PathBuf {
    dir.join("lab.json")
}

/// Puts `binary` where the hosts' PATH begins, as `netctl` and as the CNI plugin.
fn link_binary(dir: &Path, binary: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("bin"))?;
    ["netctl", "netctl-cni"].iter().try_for_each(|name| {
        symlink(binary, dir.join("bin").join(name))
            .with_context(|| format!("cannot link {}", binary.display()))
    })
}

/// `NETCTL_BIN`, or the binary that cargo has put where this program is.
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NETCTL_BIN") {
        return fs::canonicalize(&path)
            .with_context(|| format!("NETCTL_BIN is {}", Path::new(&path).display()));
    }
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let mut dir = own.parent().unwrap_or(Path::new("/"));
    // Test programs are one level further down.
    if dir.file_name() == Some(OsStr::new("deps")) {
        dir = dir.parent().unwrap_or(dir);
    }
    Ok(dir.join("netctl"))
}
