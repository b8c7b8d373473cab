//! A plugin of a host, as a process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{DEADLINE, Host, Process, Signal, eventually};

/// A running plugin.
pub(crate) struct Plugin {
    dir: PathBuf,
    process: Option<Process>,
    /// How many of its calls were looked at.
    seen: AtomicUsize,
}

impl Plugin {
    /// The plugin `name` at a socket in the host's plugin directory.
    pub(crate) fn start(host: &Host, name: &str) -> Result<Self> {
        let socket = host.dir("plugin").join(format!("{name}.sock"));
        Self::at(host, name, &socket.display().to_string())
    }

    /// The plugin at an address which something else in the plugin directory has to tell.
    pub(crate) fn at(host: &Host, name: &str, address: &str) -> Result<Self> {
        let dir = host.dir(&format!("made-by-{name}"));
        fs::create_dir_all(&dir)?;
        let mut this = Self { dir, process: None, seen: AtomicUsize::new(0) };
        this.run(host, name, address)?;
        Ok(this)
    }

    /// Starts it again, with what it had.
    pub(crate) fn run(&mut self, host: &Host, name: &str, address: &str) -> Result<()> {
        let program = env!("CARGO_BIN_EXE_test-plugin");
        let dir = self.dir.display().to_string();
        let process = host.spawn(&format!("plugin-{name}"), [program, address, &dir])?;
        self.process = Some(process);
        let port = address.rsplit_once(':').map(|(_, port)| format!(":{port}"));
        eventually("the plugin listens", DEADLINE, || {
            let sockets = host.run(["ss", "-ltxnH"])?.ok()?;
            let place = port.as_deref().unwrap_or(address);
            anyhow::ensure!(sockets.contains(place), "{place} is not in {sockets}");
            Ok(())
        })
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.stop(Signal::SIGKILL, DEADLINE)
    }

    /// Has it do `kind` in place of an answer to each `method`, from now on; what was said before of others is void.
    pub(crate) fn behave(&self, method: &str, kind: &str) -> Result<()> {
        Ok(fs::write(self.dir.join("behaviour"), format!("{method} {kind}\n"))?)
    }

    /// Has it do its work.
    pub(crate) fn be_good(&self) -> Result<()> {
        Ok(fs::write(self.dir.join("behaviour"), "")?)
    }

    /// Has its networks be those of the cluster.
    pub(crate) fn be_global(&self) -> Result<()> {
        Ok(fs::write(self.dir.join("scope"), "global")?)
    }

    /// Has it ask for a link-layer address with each request for an address.
    pub(crate) fn require_macs(&self) -> Result<()> {
        Ok(fs::write(self.dir.join("requires-mac"), "")?)
    }

    /// What it gave in an answer of this kind nobody can know, and so give back.
    pub(crate) fn forget_what_it_never_said(&self, kind: &str) -> Result<()> {
        if ["garbage", "nameless", "outside"].contains(&kind) {
            self.forget_addresses()?;
        }
        Ok(())
    }

    /// Has it forget the pools and addresses that it gave.
    pub(crate) fn forget_addresses(&self) -> Result<()> {
        for name in ["pools", "addresses"] {
            for file in files(&self.dir.join(name))? {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// The calls of network drivers since the last look, in order.
    pub(crate) fn calls(&self) -> Result<Vec<(String, Value)>> {
        self.calls_of("NetworkDriver.")
    }

    /// The calls of one of its kinds since the last look, in order.
    pub(crate) fn calls_of(&self, kind: &str) -> Result<Vec<(String, Value)>> {
        let text = fs::read_to_string(self.dir.join("calls")).unwrap_or_default();
        // It may be writing the last one.
        let lines: Vec<&str> =
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        let seen = self.seen.swap(lines.len(), Ordering::Relaxed);
        let mut calls = Vec::new();
        for line in lines.into_iter().skip(seen) {
            let call: Value = serde_json::from_str(line)?;
            let method = call["method"].as_str().context("a method")?;
            if let Some(verb) = method.strip_prefix(kind) {
                calls.push((verb.to_owned(), call["request"].clone()));
            }
        }
        Ok(calls)
    }

    /// How many addresses it has given and not got back.
    pub(crate) fn addresses(&self) -> Result<usize> {
        Ok(files(&self.dir.join("addresses"))?.len())
    }

    /// For how many networks it has chosen something.
    pub(crate) fn allocations(&self) -> Result<usize> {
        Ok(files(&self.dir.join("allocations"))?.len())
    }

    /// What it has.
    pub(crate) fn state(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for name in ["networks", "endpoints", "pools", "addresses"] {
            all.extend(files(&self.dir.join(name))?);
        }
        Ok(all)
    }
}

/// The files below a directory.
pub(crate) fn files(dir: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(all) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path.display().to_string());
        }
    }
    Ok(all)
}
