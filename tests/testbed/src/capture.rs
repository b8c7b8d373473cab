//! What tcpdump sees, and what tshark makes of it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::command::{DEADLINE, eventually, output};
use crate::netns::Netns;
use crate::process::Process;

/// A running tcpdump that writes to a file.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures on `device` of `netns` what `filter` (pcap-filter(7)) lets through, and returns
    /// when it sees packets. `name` is that of its files in the run's directory.
    pub fn start(netns: &Netns, device: &str, filter: &str, name: &str) -> Result<Self> {
        let file = netns.file(&format!("{name}.pcap"));
        let path = file.to_string_lossy().into_owned();
        // -Z: as root it would give up the right to write below /run. -B, in KiB: with --immediate-mode each packet
        // takes a slot of the longest's size, and the usual two MiB are full after 32 of them.
        let mut words = vec![
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-B",
            "65536",
            "-n",
            "-i",
            device,
            "-w",
            &path,
        ];
        if !filter.is_empty() {
            words.push(filter);
        }
        let mut process = netns.spawn(name, words)?;
        eventually("tcpdump listens", Duration::from_secs(10), || {
            ensure!(process.alive(), "tcpdump ended: {}", process.log());
            ensure!(process.log().contains("listening on"), "it says: {}", process.log());
            Ok(())
        })?;
        Ok(Self { process, file })
    }

    /// Ends the capture, and gives what was seen as text: one block per packet, as by
    /// `tcpdump -nn -r` with the further `options` (`-e`, `-v`, `-xx`, …).
    pub fn stop(mut self, options: &[&str]) -> Result<String> {
        self.end()?;
        self.read(options)
    }

    /// Ends the capture. What was seen can still be read.
    pub fn end(&mut self) -> Result<()> {
        if self.process.alive() {
            self.process.stop(Signal::SIGINT, Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// What tshark says of what was seen so far, as by `tshark -n -r` with the further `options` (`-Y`, `-T fields`, …).
    pub fn dissect(&self, options: &[&str]) -> Result<String> {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file).args(options);
        output(command, DEADLINE)?.ok().context("cannot dissect the capture")
    }

    /// What was seen so far, while the capture goes on.
    pub fn read(&self, options: &[&str]) -> Result<String> {
        let mut command = Command::new("tcpdump");
        command.arg("-nn").args(options).arg("-r").arg(&self.file);
        output(command, DEADLINE)?.ok().context("cannot read the capture")
    }
}
