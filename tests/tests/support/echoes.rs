//! Echoes that go on while other things happen, each counted.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Process, Signal, eventually};

/// How long the next ones may take.
const SOON: Duration = Duration::from_secs(10);
/// How many are sent at most: for ten minutes, if they are sent a thousand times a second.
const MOST: &str = "600000";

/// What ping says of an answer, and of nothing else.
const ANSWERED: &str = " time=";

/// Echoes from a sandbox to an address at a steady rate.
pub(crate) struct Echoes {
    process: Process,
}

impl Echoes {
    /// Begins to send; `pause` is between two, in seconds, and `log` is unique in the lab.
    pub(crate) fn start(
        host: &Host,
        sandbox: &str,
        address: &str,
        pause: &str,
        log: &str,
    ) -> Result<Self> {
        let words =
            ["netctl", "exec", sandbox, "--", "ping", "-n", "-i", pause, "-c", MOST, address];
        Ok(Self { process: host.spawn(log, words)? })
    }

    /// How many were answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.process.log().matches(ANSWERED).count()
    }

    /// Waits until 50 more are answered.
    pub(crate) fn goes_on(&mut self) -> Result<()> {
        let before = self.answered();
        eventually("the echoes go on", SOON, || {
            ensure!(self.process.alive(), "it ended: {}", self.process.log());
            ensure!(self.answered() >= before + 50, "none more is answered");
            Ok(())
        })
    }

    /// Ends it, and says how many were sent, and the numbers of those that were lost; fails where one was answered twice.
    pub(crate) fn end(mut self) -> Result<(usize, Vec<usize>)> {
        sleep(Duration::from_millis(500));
        self.process.stop(Signal::SIGINT, SOON)?;
        let log = self.process.log();
        let sent = log.split_once(" packets transmitted").context("no summary")?.0;
        let sent: usize = sent.rsplit('\n').next().unwrap_or_default().parse()?;
        let number =
            |line: &str| line.split_once("icmp_seq=")?.1.split_whitespace().next()?.parse().ok();
        let mut answered: BTreeSet<usize> = BTreeSet::new();
        let lines = log.lines().filter(|line| line.contains(ANSWERED)).filter_map(number);
        let twice: Vec<usize> = lines.filter(|number| !answered.insert(*number)).collect();
        ensure!(twice.is_empty(), "of {sent} echoes these were answered twice: {twice:?}");
        // The last one may have been on its way when ping was told to end.
        Ok((sent, (1..sent).filter(|number| !answered.contains(number)).collect()))
    }
}
