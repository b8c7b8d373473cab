//! What libtest writes, added up.

/// So many lines are kept of what a test said.
const LINES: usize = 30;

/// A test that failed, and the beginning of what it said.
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) said: Vec<String>,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: Vec<Failure>,
    /// The test that is quoted.
    speaker: Option<usize>,
}

impl Tally {
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
            self.failed.push(Failure { name: name.to_owned(), said: Vec::new() });
        } else if rest.ends_with(" ... ok") {
            self.passed += 1;
        }
    }

    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.failed.iter().any(|test| test.name == name)
    }
}

/// The name of the test whose output begins with this line.
fn quoted(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_tally_counts_what_libtest_writes() {
        let mut tally = Tally::default();
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
        assert!(tally.has_failed("store::watch") && !tally.has_failed("store::put"));
        let said: Vec<_> = tally.failed.iter().map(|test| (&*test.name, &*test.said)).collect();
        assert_eq!(said, [("store::watch", &["Error: nothing came".to_owned()][..])]);
    }
}
