//! What changed of late in a copy, for those who looked at it before and need not look at all of it again.

use std::collections::{BTreeSet, VecDeque};

/// How many changes are known at most. Who missed more looks at all.
const MOST: usize = 1024;

/// The keys of the latest changes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// All changes after this version are known.
    since: u64,
    /// The oldest first, each with the version that it led to.
    changes: VecDeque<(u64, String)>,
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self { since: 0, changes: VecDeque::new() }
    }

    /// Notes that what is at `key` changed in `version`, which is none before the last.
    pub(super) fn note(&mut self, version: u64, key: String) {
        self.changes.push_back((version, key));
        if self.changes.len() > MOST
            && let Some((version, _)) = self.changes.pop_front()
        {
            self.since = version;
        }
    }

    /// Notes that anything may have changed in `version`.
    pub(super) fn forget(&mut self, version: u64) {
        self.changes.clear();
        self.since = version;
    }

    /// What changed after a version; nothing where that is not known.
    pub(super) fn since(&self, version: u64) -> Option<BTreeSet<&str>> {
        let after = self.changes.partition_point(|(at, _)| *at <= version);
        (version >= self.since)
            .then(|| self.changes.range(after..).map(|(_, key)| key.as_str()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ago_is_not_known() {
        let mut recent = Recent::new();
        assert_eq!(recent.since(0), Some(BTreeSet::new()));
        for (version, key) in [(1, "a"), (2, "b"), (2, "c"), (3, "a")] {
            recent.note(version, key.to_owned());
        }
        assert_eq!(recent.since(0), Some(BTreeSet::from(["a", "b", "c"])));
        assert_eq!(recent.since(1), Some(BTreeSet::from(["a", "b", "c"])));
        assert_eq!(recent.since(2), Some(BTreeSet::from(["a"])));
        assert_eq!(recent.since(3), Some(BTreeSet::new()));
        recent.forget(4);
        assert_eq!(recent.since(3), None);
        assert_eq!(recent.since(4), Some(BTreeSet::new()));
        // One of the changes of version 5 is among those that are not known any more.
        for at in 0..=MOST {
            recent.note(5 + u64::from(at >= 2), at.to_string());
        }
        assert_eq!(recent.since(4), None);
        assert_eq!(recent.since(5).map(|keys| keys.len()), Some(MOST - 1));
    }
}
