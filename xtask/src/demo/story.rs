//! Telling a command: as a person would type it, and what it really says.

use anyhow::{Result, ensure};
use testbed::{Host, Process};

use crate::say;

/// Counts the chapters.
#[derive(Default)]
pub(super) struct Story {
    chapters: usize,
}

impl Story {
    pub(super) fn chapter(&mut self, text: &str) {
        self.chapters += 1;
        say::chapter(self.chapters, text);
    }
}

/// Shows and runs one command on a host; it must succeed.
pub(super) fn run(host: &Host, line: &str) -> Result<String> {
    say::command(host.name(), line);
    let text = host.run(line.split(' '))?.ok()?;
    say::output(&text);
    Ok(text)
}

/// As `run`; each of `words` must be in what it says.
pub(super) fn expect(host: &Host, line: &str, words: &[&str]) -> Result<()> {
    let text = run(host, line)?;
    for word in words {
        ensure!(text.contains(word), "`{line}` on {} does not say {word}", host.name());
    }
    Ok(())
}

/// Shows a command and starts it in the background.
pub(super) fn background(host: &Host, line: &str) -> Result<Process> {
    say::command(host.name(), &format!("{line} &"));
    host.spawn(&format!("{}-run", host.name()), line.split(' '))
}
