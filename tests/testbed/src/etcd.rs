//! A real etcd on the underlay, of one member or of three.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use crate::command::eventually;
use crate::interrupt::gate;
use crate::netns::Netns;
use crate::process::{Identity, Process};
use crate::underlay::{ETCD, Families, Underlay, address, address6};

/// How long it may take until it answers.
const STARTED: Duration = Duration::from_secs(20);

/// A member of an etcd in a namespace of its own, at port 2379 of 192.0.2.253 and `2001:db8::fd` of the underlay, or the
/// addresses below for the second and third; with its data in a tmpfs: it syncs to disk at each write, and no test waits for
/// a disk.
#[derive(Debug)]
pub struct Etcd {
    netns: Netns,
    /// Which of how many, from 0.
    number: u8,
    members: u8,
    further: Mutex<Vec<String>>,
    process: Mutex<Option<Process>>,
}

impl Etcd {
    /// All of an etcd, started.
    pub(crate) fn start_all(run: &Path, underlay: &Underlay, members: u8) -> Result<Vec<Self>> {
        let made = (0..members).map(|number| Self::new(run, underlay, number, members));
        let made = made.collect::<Result<Vec<_>>>()?;
        // None answers before most of them run.
        made.iter().try_for_each(Self::launch)?;
        made.iter().try_for_each(Self::wait)?;
        Ok(made)
    }

    fn new(run: &Path, underlay: &Underlay, number: u8, members: u8) -> Result<Self> {
        let netns = Netns::new(run, &name(number))?;
        underlay.join_with(&netns, ETCD - number, Families::Both)?;
        let data = netns.file(&name(number));
        fs::create_dir_all(&data)?;
        {
            let _gate = gate();
            mount(Some("etcd"), &data, Some("tmpfs"), MsFlags::empty(), None::<&str>)
                .context("cannot mount a tmpfs for etcd")?;
        }
        Ok(Self { netns, number, members, further: Mutex::default(), process: Mutex::default() })
    }

    pub(crate) fn open(run: &Path, number: u8, members: u8, process: Option<Identity>) -> Self {
        let netns = Netns::open(run, &run.join("ns").join(name(number)));
        let process = process.and_then(|id| {
            Process::adopt(id, "etcd", &netns.file(&format!("{}.log", name(number))))
        });
        let process = Mutex::new(process);
        Self { netns, number, members, further: Mutex::default(), process }
    }

    /// Where clients on the underlay reach the first member.
    pub fn url() -> String {
        client_url(0)
    }

    /// The same for those that have only IPv6.
    pub fn url6() -> String {
        client_url6(0)
    }

    /// Where clients on the underlay reach this member.
    pub fn own_url(&self) -> String {
        client_url(self.number)
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Has it run with further arguments from the next start on.
    pub fn set_arguments(&self, further: &[&str]) {
        *lock(&self.further) = further.iter().map(|&word| word.to_owned()).collect();
    }

    /// Starts it, on the data that it had, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        self.launch()?;
        self.wait()
    }

    /// Starts it, and waits for nothing: one of several answers only when most of them run.
    pub fn launch(&self) -> Result<()> {
        let url = self.own_url();
        let words = [
            "etcd".to_owned(),
            format!("--name={}", name(self.number)),
            format!("--data-dir={}", self.data()),
            format!("--listen-client-urls={url},{}", client_url6(self.number)),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={}", self.peer_url(self.number)),
            "--log-level=warn".to_owned(),
        ];
        let words = words.into_iter().chain(self.identity_words());
        let process =
            self.netns.spawn(&name(self.number), words.chain(lock(&self.further).clone()))?;
        *lock(&self.process) = Some(process);
        Ok(())
    }

    /// Waits until it answers.
    pub fn wait(&self) -> Result<()> {
        eventually("etcd answers", STARTED, || {
            let mut process = lock(&self.process);
            let process = process.as_mut().context("etcd is not running")?;
            if !process.alive() {
                return Ok(Err(process.log()));
            }
            self.ctl(["endpoint", "health"])?;
            Ok(Ok(()))
        })?
        .or_else(|log| bail!("etcd ended: {log}"))
    }

    /// Ends it by `signal` and waits until it is gone; SIGTERM is the orderly way.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        let taken = lock(&self.process).take();
        let Some(mut process) = taken else { bail!("etcd is not running") };
        process.stop(signal, Duration::from_secs(10))
    }

    /// Sends it a signal that it survives, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        lock(&self.process).as_mut().context("etcd is not running")?.signal(signal)
    }

    /// Puts its data back to what `etcdctl snapshot save` wrote to `file`, while it is stopped.
    pub fn restore(&self, file: &Path) -> Result<()> {
        let data = self.data();
        fs::remove_dir_all(&data)?;
        let words = ["snapshot".to_owned(), "restore".to_owned(), file.display().to_string()];
        let further = [format!("--data-dir={data}"), format!("--name={}", name(self.number))];
        self.ctl(words.into_iter().chain(further).chain(self.identity_words())).map(drop)
    }

    /// Runs `etcdctl` with the version 3 API and gives what it says.
    pub fn ctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut command = self.netns.command(["etcdctl", "--endpoints", &self.own_url()]);
        command.args(arguments);
        command.env("ETCDCTL_API", "3");
        crate::command::output(command, Duration::from_secs(10))?.ok()
    }

    fn data(&self) -> String {
        self.netns.file(&name(self.number)).join("data").display().to_string()
    }

    /// What says which of its cluster it is.
    fn identity_words(&self) -> [String; 2] {
        let member = |number| format!("{}={}", name(number), self.peer_url(number));
        let all: Vec<String> = (0..self.members).map(member).collect();
        [
            format!("--initial-advertise-peer-urls={}", self.peer_url(self.number)),
            format!("--initial-cluster={}", all.join(",")),
        ]
    }

    /// One alone talks to nobody.
    fn peer_url(&self, number: u8) -> String {
        if self.members == 1 {
            "http://127.0.0.1:2380".to_owned()
        } else {
            format!("http://{}:2380", address(ETCD - number))
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        lock(&self.process).as_ref().map(Process::identity)
    }

    pub(crate) fn keep(mut self) {
        let process = self.process.into_inner().unwrap_or_else(PoisonError::into_inner);
        process.into_iter().for_each(Process::keep);
        self.netns.keep();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(number: u8) -> String {
    if number == 0 { "etcd".to_owned() } else { format!("etcd{}", number + 1) }
}

fn client_url(number: u8) -> String {
    format!("http://{}:2379", address(ETCD - number))
}

fn client_url6(number: u8) -> String {
    format!("http://[{}]:2379", address6(ETCD - number))
}
