//! What a sandbox's own resolver is told: lines of resolv.conf(5).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{HostName, NameError};

/// A domain that names without one are also looked for in. `.` stands for none at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SearchDomain(Option<HostName>);

impl SearchDomain {
    /// The domain, without a dot at its end; nothing for `.`.
    pub fn domain(&self) -> Option<&str> {
        self.0.as_ref().map(HostName::as_str)
    }
}

impl FromStr for SearchDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self(None));
        }
        text.strip_suffix('.').unwrap_or(text).parse().map(Some).map(Self)
    }
}

impl fmt::Display for SearchDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.domain().unwrap_or("."))
    }
}

/// An option of resolv.conf(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResolverOption(String);

/// Options that are a word, in resolv.conf(5) of the Linux man-pages 6.9 and of glibc 2.39.
const WORDS: [&str; 15] = [
    "debug",
    "edns0",
    "inet6",
    "ip6-bytestring",
    "ip6-dotint",
    "no-aaaa",
    "no-check-names",
    "no-ip6-dotint",
    "no-reload",
    "no-tld-query",
    "rotate",
    "single-request",
    "single-request-reopen",
    "trust-ad",
    "use-vc",
];
/// Options that have a number, each with the largest that the C library takes.
const NUMBERS: [(&str, u8); 3] = [("attempts", 5), ("ndots", 15), ("timeout", 30)];

/// Why a text is not a [`ResolverOption`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolverOptionError {
    /// No resolver would know it.
    #[error("resolver option {text:?} is not known: see OPTIONS in resolv.conf(5)")]
    Unknown {
        /// The text.
        text: String,
    },
    /// It has no number, or one that is too large.
    #[error("resolver option {text:?}: write {option}:N with N from 0 to {most}")]
    Number {
        /// The text.
        text: String,
        /// The option.
        option: &'static str,
        /// The largest number.
        most: u8,
    },
}

impl ResolverOption {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many dots a name must have to be looked for as it is, before any domain is added, if that is what it says.
    pub fn ndots(&self) -> Option<u8> {
        self.0.strip_prefix("ndots:").and_then(|number| number.parse().ok())
    }
}

impl FromStr for ResolverOption {
    type Err = ResolverOptionError;

    fn from_str(text: &str) -> Result<Self, ResolverOptionError> {
        let (option, number) = match text.split_once(':') {
            Some((option, number)) => (option, Some(number)),
            None => (text, None),
        };
        if number.is_none() && WORDS.contains(&option) {
            return Ok(Self(text.to_owned()));
        }
        let text = text.to_owned();
        let Some(&(option, most)) = NUMBERS.iter().find(|(name, _)| *name == option) else {
            return Err(ResolverOptionError::Unknown { text });
        };
        let digits = |text: &&str| text.bytes().all(|c| c.is_ascii_digit());
        match number.filter(digits).and_then(|number| number.parse::<u8>().ok()) {
            Some(number) if number <= most => Ok(Self(format!("{option}:{number}"))),
            Some(_) | None => Err(ResolverOptionError::Number { text, option, most }),
        }
    }
}

impl fmt::Display for ResolverOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text {
    ($name:ident, $error:ident) => {
        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

text!(SearchDomain, NameError);
text!(ResolverOption, ResolverOptionError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_are_names_or_none() {
        for (text, domain) in [
            ("example.com", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("corp", Some("corp")),
            (".", None),
        ] {
            let parsed: SearchDomain = text.parse().expect(text);
            assert_eq!(parsed.domain(), domain);
        }
        for text in ["", "a..b", "a b", "x\nnameserver 1.1.1.1", "-a", &"a.".repeat(200)] {
            assert!(text.parse::<SearchDomain>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn options_are_those_of_the_c_library() {
        for (text, ndots) in [("rotate", None), ("ndots:2", Some(2)), ("timeout:1", None)] {
            let parsed: ResolverOption = text.parse().expect(text);
            assert_eq!((parsed.as_str(), parsed.ndots()), (text, ndots));
        }
        for (text, message) in [
            ("", "is not known"),
            ("rotate:1", "is not known"),
            ("rotate\nnameserver 1.1.1.1", "is not known"),
            ("ndots", "write ndots:N with N from 0 to 15"),
            ("ndots:x", "write ndots:N with N from 0 to 15"),
            ("ndots:16", "write ndots:N with N from 0 to 15"),
            ("attempts:+1", "write attempts:N with N from 0 to 5"),
        ] {
            let error = text.parse::<ResolverOption>().expect_err(text).to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
