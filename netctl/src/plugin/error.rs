//! Why a plugin is of no use, for people.

use std::path::PathBuf;

/// The longest text of a plugin's that is passed on, in characters.
const TEXT: usize = 400;

/// Why a plugin cannot be found, or cannot be had to do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing says where it listens.
    #[error(
        "there is no plugin {name}: neither {name}.sock nor {name}.spec nor {name}.json is in {dirs}"
    )]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        dirs: String,
    },
    /// The file that says where it listens is unusable.
    #[error("plugin {name}: {path} is not usable: {reason}")]
    File {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a plugin for something else.
    #[error("plugin {name} is no {wanted}: it says that it is {has}")]
    NotImplemented {
        /// Its name.
        name: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        has: String,
    },
    /// Its networks are neither of one host nor of the cluster.
    #[error("plugin {name} has the scope {scope:?}: netctl knows local and global")]
    Scope {
        /// Its name.
        name: String,
        /// What it says.
        scope: String,
    },
    /// Nobody answers.
    #[error("plugin {name} cannot be reached at {at} for {method}: {reason}")]
    Unreachable {
        /// Its name.
        name: String,
        /// Where it should listen.
        at: String,
        /// What it was to do.
        method: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// It takes too long.
    #[error("plugin {name} has not answered {method} within {seconds} s")]
    Late {
        /// Its name.
        name: String,
        /// What it was to do.
        method: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// It says no.
    #[error("plugin {name} refuses {method}: {text}")]
    Refused {
        /// Its name.
        name: String,
        /// What it was to do.
        method: &'static str,
        /// Its own words.
        text: String,
    },
    /// It does not know the call.
    #[error("plugin {name} does not know {method}")]
    Unknown {
        /// Its name.
        name: String,
        /// What it was to do.
        method: &'static str,
    },
    /// Its answer cannot be used.
    #[error("plugin {name} answered {method} with what cannot be used: {reason}")]
    Garbled {
        /// Its name.
        name: String,
        /// What it was to do.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Error {
    /// Whether the plugin itself said so: it lives, and asking again would bring the same.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unknown { .. } | Self::Garbled { .. })
    }

    /// Whether the plugin says that it does not know what it was told before, as one does that was started again and
    /// keeps no files. The protocol has no code for it, only words.
    pub fn is_forgotten(&self) -> bool {
        let Self::Refused { text, .. } = self else { return false };
        let text = text.to_ascii_lowercase();
        let unknown =
            ["unknown", "not found", "no such", "not exist", "not known", "doesn't exist"];
        ["network", "endpoint"].iter().any(|object| text.contains(object))
            && unknown.iter().any(|word| text.contains(word))
    }
}

/// A plugin's words, fit for one line.
pub(super) fn line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let words: String = text.trim().chars().map(plain).take(TEXT + 1).collect();
    if words.chars().count() > TEXT {
        words.chars().take(TEXT).chain(['…']).collect()
    } else if words.is_empty() {
        "it does not say why".to_owned()
    } else {
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_on_one_line() {
        assert_eq!(line(" a\nb\x1b[31m "), "a b [31m");
        assert_eq!(line("\n"), "it does not say why");
        assert_eq!(line(&"x".repeat(5000)).chars().count(), TEXT + 1);
    }

    #[test]
    fn who_has_forgotten_says_so_in_words() {
        let refused = |text: &str| Error::Refused {
            name: "weave".to_owned(),
            method: "NetworkDriver.CreateEndpoint",
            text: text.to_owned(),
        };
        for text in ["unknown network 12ab", "network 12ab not found", "No such endpoint"] {
            assert!(refused(text).is_forgotten(), "{text}");
        }
        for text in ["no address left in network 12ab", "unknown option", "boom"] {
            assert!(!refused(text).is_forgotten(), "{text}");
        }
    }
}
