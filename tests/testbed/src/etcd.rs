//! A real etcd on the underlay.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use crate::command::eventually;
use crate::interrupt::gate;
use crate::netns::Netns;
use crate::process::{Identity, Process};
use crate::underlay::{ETCD, Families, Underlay, address, address6};

/// An etcd in a namespace of its own, at port 2379 of 192.0.2.253 and `2001:db8::fd` of the underlay, with its data in a
/// tmpfs: it syncs to disk at each write, and no test waits for a disk.
#[derive(Debug)]
pub struct Etcd {
    netns: Netns,
    process: Mutex<Option<Process>>,
}

impl Etcd {
    pub(crate) fn new(run: &Path, underlay: &Underlay) -> Result<Self> {
        let netns = Netns::new(run, "etcd")?;
        underlay.join_with(&netns, ETCD, Families::Both)?;
        let data = netns.file("etcd");
        fs::create_dir_all(&data)?;
        {
            let _gate = gate();
            mount(Some("etcd"), &data, Some("tmpfs"), MsFlags::empty(), None::<&str>)
                .context("cannot mount a tmpfs for etcd")?;
        }
        Ok(Self { netns, process: Mutex::new(None) })
    }

    pub(crate) fn open(run: &Path, process: Option<Identity>) -> Self {
        let netns = Netns::open(run, &run.join("ns").join("etcd"));
        let process = process.and_then(|id| Process::adopt(id, "etcd", &netns.file("etcd.log")));
        Self { netns, process: Mutex::new(process) }
    }

    /// Where clients on the underlay reach it.
    pub fn url() -> String {
        format!("http://{}:2379", address(ETCD))
    }

    /// The same for those that have only IPv6.
    pub fn url6() -> String {
        format!("http://[{}]:2379", address6(ETCD))
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Starts it, on the data that it had, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        let url = Self::url();
        let data = self.netns.file("etcd").join("data");
        let data = data.to_string_lossy();
        let words = [
            "etcd",
            "--name=etcd",
            &format!("--data-dir={data}"),
            &format!("--listen-client-urls={url},{}", Self::url6()),
            &format!("--advertise-client-urls={url}"),
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=etcd=http://127.0.0.1:2380",
            "--log-level=warn",
        ];
        let mut process = self.netns.spawn("etcd", words)?;
        eventually("etcd answers", Duration::from_secs(20), || {
            if !process.alive() {
                return Ok(Err(process.log()));
            }
            self.ctl(["endpoint", "health"])?;
            Ok(Ok(()))
        })?
        .or_else(|log| bail!("etcd ended: {log}"))?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// Ends it by `signal` and waits until it is gone; SIGTERM is the orderly way.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        let taken = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut process) = taken else { bail!("etcd is not running") };
        process.stop(signal, Duration::from_secs(10))
    }

    /// Runs `etcdctl` with the version 3 API and gives what it says.
    pub fn ctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut command = self.netns.command(["etcdctl", "--endpoints", &Self::url()]);
        command.args(arguments);
        command.env("ETCDCTL_API", "3");
        crate::command::output(command, Duration::from_secs(10))?.ok()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Process::identity)
    }

    pub(crate) fn keep(mut self) {
        let process = self.process.into_inner().unwrap_or_else(PoisonError::into_inner);
        process.into_iter().for_each(Process::keep);
        self.netns.keep();
    }
}
