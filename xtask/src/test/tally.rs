//! What libtest writes, added up.

use std::collections::BTreeMap;
use std::time::Duration;

/// So many lines are kept of what a test said.
pub(super) const LINES: usize = 30;

/// A test that failed, and the beginning of what it said.
pub(super) struct Failure {
    /// The program that it is in.
    pub(super) program: String,
    /// Its name there.
    pub(super) name: String,
    pub(super) said: Vec<String>,
}

impl Failure {
    /// What people call it.
    pub(super) fn full_name(&self) -> String {
        format!("{}::{}", self.program, self.name)
    }
}

/// What one program wrote, or all of them.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: Vec<Failure>,
    /// How long each job took, by its name.
    pub(super) took: BTreeMap<String, Duration>,
    program: String,
    /// The test that is quoted.
    speaker: Option<usize>,
}

impl Tally {
    /// An empty one of a program.
    pub(super) fn of(program: &str) -> Self {
        Self { program: program.to_owned(), ..Self::default() }
    }

    /// Adds what another program wrote.
    pub(super) fn join(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.took.extend(other.took);
    }

    /// Reads one line: `test NAME ... ok`, `---- NAME stdout ----`, or what belongs to it.
    pub(super) fn add(&mut self, line: &str) {
        if let Some(name) = quoted(line) {
            self.speaker = self.failed.iter().rposition(|test| test.name == name);
            return;
        }
        if line == "failures:" || line.starts_with("test result: ") {
            self.speaker = None;
        }
        if let Some(speaker) = self.speaker {
            let said = &mut self.failed[speaker].said;
            if said.len() < LINES && !line.trim().is_empty() {
                said.push(line.to_owned());
            }
            return;
        }
        let Some(rest) = line.strip_prefix("test ") else { return };
        if let Some(name) = rest.strip_suffix(" ... FAILED") {
            let (program, name) = (self.program.clone(), name.to_owned());
            self.failed.push(Failure { program, name, said: Vec::new() });
        } else if rest.ends_with(" ... ok") {
            self.passed += 1;
        }
    }

    pub(super) fn has_failed(&self, test: &Failure) -> bool {
        self.failed.iter().any(|other| other.program == test.program && other.name == test.name)
    }
}

/// The name of the test whose output begins with this line.
fn quoted(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests {
    use super::{Failure, Tally};

    #[test]
    fn the_tally_counts_what_libtest_writes() {
        let mut tally = Tally::of("store");
        for line in [
            "running 3 tests",
            "test store::put ... ok",
            "test a_test - should panic ... ok",
            "test store::watch ... FAILED",
            "",
            "failures:",
            "",
            "---- store::watch stdout ----",
            "Error: nothing came",
            "",
            "failures:",
            "    store::watch",
            "",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored",
        ] {
            tally.add(line);
        }
        assert_eq!(tally.passed, 2);
        let said: Vec<_> =
            tally.failed.iter().map(|test| (test.full_name(), &*test.said)).collect();
        assert_eq!(
            said,
            [("store::store::watch".to_owned(), &["Error: nothing came".to_owned()][..])]
        );

        let mut all = Tally::default();
        all.join(tally);
        let test = |name: &str| {
            let (program, name) = ("store".to_owned(), name.to_owned());
            Failure { program, name, said: Vec::new() }
        };
        assert!(all.passed == 2 && all.has_failed(&test("store::watch")));
        assert!(!all.has_failed(&test("store::put")));
    }
}
