//! The hosts that exist in the store alone, as a process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::Lab;

use super::Options;

pub(super) struct Fleet {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    local: u32,
    pins: PathBuf,
}

impl Fleet {
    /// Starts it outside of the hosts, and waits until all that it has is in the store.
    pub(super) fn start(lab: &Lab, program: &Path, options: &Options) -> Result<Self> {
        let numbers = [options.hosts, options.networks, options.endpoints];
        let mut command = lab.external().command([program]);
        command.arg(lab.store_of(lab.host(1))).args(numbers.map(|number| number.to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let input = child.stdin.take();
        let pins = lab.host(1).dir("bpf");
        let mut fleet = Self { child, input, output, local: options.local, pins };
        fleet.expect("ready")?;
        Ok(fleet)
    }

    /// Waits until the daemon's maps are as they should be.
    pub(super) fn complete(&mut self) -> Result<()> {
        let command = format!("await {} {}", self.local, self.pins.display());
        self.tell(&command)?;
        self.expect("complete")
    }

    /// Has endpoints of the local networks move.
    pub(super) fn shuffle(&mut self, count: u32) -> Result<()> {
        let command = format!("shuffle {count} {}", self.local);
        self.tell(&command)?;
        self.expect("shuffled")
    }

    /// Has changes made, so many a second, and says what came of each.
    pub(super) fn change(&mut self, count: u32, rate: u32) -> Result<Vec<Value>> {
        let command = format!("change {count} {rate} {} {}", self.local, self.pins.display());
        self.tell(&command)?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    pub(super) fn end(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "the fleet failed: {status}");
        Ok(())
    }

    fn tell(&mut self, command: &str) -> Result<()> {
        let input = self.input.as_mut().context("the fleet was ended")?;
        writeln!(input, "{command}").context("the fleet is gone")
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == word, "the fleet says {line:?}, not {word:?}: it says why above");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.input.take().is_some() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
