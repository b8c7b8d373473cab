//! Names that people give.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is there.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than a DNS label (RFC 1035, section 2.3.4).
    #[error("name {name:?} is longer than 63 characters")]
    TooLong {
        /// The text.
        name: String,
    },
    /// A character that a DNS label of ours does not have.
    #[error(
        "name {name:?} must consist of letters, digits, '-' and '_' and begin and end with a letter or digit"
    )]
    Character {
        /// The text.
        name: String,
    },
}

/// The name of a network, a service, an alias or a sandbox: one DNS label.
///
/// The cluster tells names apart without regard to case, and shows them as they were written.
///
/// It has no dots, so that `service.network` always reads one way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

fn check_label(text: &str) -> Result<(), NameError> {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (None, _) | (_, None) => Err(NameError::Empty),
        _ if bytes.len() > Name::LONGEST => Err(NameError::TooLong { name: text.to_owned() }),
        (Some(first), Some(last))
            if first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes.iter().all(|&c| inner(c)) =>
        {
            Ok(())
        }
        _ => Err(NameError::Character { name: text.to_owned() }),
    }
}

impl Name {
    /// The most characters that one has (RFC 1035, section 2.3.4).
    pub const LONGEST: usize = 63;
    /// How many characters container engines show of an identifier.
    pub const SHORT: usize = 12;

    /// The name that is nearest to a text, with at most so many characters: of an identifier in hexadecimal digits that is
    /// too long, what container engines show of it. `None` where nothing of the text can be in a name.
    pub fn near(text: &str, longest: usize) -> Option<Self> {
        let is_id = text.len() > Self::LONGEST && text.bytes().all(|c| c.is_ascii_hexdigit());
        let longest = if is_id { longest.min(Self::SHORT) } else { longest };
        let inner = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let text: String = text.chars().map(inner).take(longest).collect();
        text.trim_matches(['-', '_']).parse().ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        check_label(&text).map(|()| Self(text.into()))
    }
}

/// The name of a host: DNS labels separated by dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

impl HostName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        if text.len() > 253 {
            return Err(NameError::TooLong { name: text });
        }
        text.split('.').try_for_each(check_label).map(|()| Self(text.into()))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text!(Name);
text!(HostName);

/// A service as people write it: `SERVICE[.NETWORK]`, or `SERVICE.NETWORK.DRIVER` where it may be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceRef {
    /// The service: its name, its id, or the beginning of its id.
    pub service: Name,
    /// The network: its name, its id, or the beginning of its id.
    pub network: Option<Name>,
    /// The driver of a network that may have to be made.
    pub driver: Option<Name>,
}

/// Why a text is not a [`ServiceRef`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceRefError {
    /// A part of it is no name.
    #[error("service {text:?}: {source}")]
    Name {
        /// The whole text.
        text: String,
        /// What is wrong with the part.
        source: NameError,
    },
    /// It has more than three parts.
    #[error("service {text:?} has more parts than SERVICE.NETWORK.DRIVER")]
    Parts {
        /// The whole text.
        text: String,
    },
}

impl FromStr for ServiceRef {
    type Err = ServiceRefError;

    fn from_str(text: &str) -> Result<Self, ServiceRefError> {
        let parts: Vec<Name> = text
            .split('.')
            .map(Self::part)
            .collect::<Result<_, _>>()
            .map_err(|source| ServiceRefError::Name { text: text.to_owned(), source })?;
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(service), network, driver, None) => Ok(Self { service, network, driver }),
            _ => Err(ServiceRefError::Parts { text: text.to_owned() }),
        }
    }
}

impl ServiceRef {
    /// A part of a reference: a name or an identifier.
    pub fn part(text: &str) -> Result<Name, NameError> {
        text.parse().or_else(|source| part_by_id(text, source))
    }
}

/// A full identifier has 64 characters, one more than a name may have, and may stand for one.
fn part_by_id(part: &str, source: NameError) -> Result<Name, NameError> {
    if part.len() == 64 && part.bytes().all(|c| c.is_ascii_hexdigit()) {
        Ok(Name(part.into()))
    } else {
        Err(source)
    }
}

impl TryFrom<String> for ServiceRef {
    type Error = ServiceRefError;

    fn try_from(text: String) -> Result<Self, ServiceRefError> {
        text.parse()
    }
}

impl From<ServiceRef> for String {
    fn from(service: ServiceRef) -> Self {
        service.to_string()
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, network, driver } = self;
        write!(f, "{service}")?;
        [network, driver].into_iter().flatten().try_for_each(|part| write!(f, ".{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "svc1", "My-Svc_2", "0", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good:?}");
        }
        for (bad, message) in [
            ("", "a name must not be empty"),
            ("a.b", "name \"a.b\" must consist of"),
            ("-a", "begin and end with"),
            ("a-", "begin and end with"),
            ("a b", "must consist of"),
            ("ä", "must consist of"),
            (&*"x".repeat(64), "is longer than 63 characters"),
        ] {
            let error = bad.parse::<Name>().expect_err(bad).to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_nearest_name_has_what_a_name_can_have() {
        let id = "0123456789abcdef".repeat(4);
        for (text, longest, near) in [
            ("web", 63, Some("web")),
            ("web.0_", 63, Some("web-0")),
            ("k8s.io-t1", 63, Some("k8s-io-t1")),
            ("k8s.io-t1", 4, Some("k8s")),
            (&id, 63, Some("0123456789ab")),
            (&id, 5, Some("01234")),
            (&"w".repeat(64), 63, Some(&*"w".repeat(63))),
            ("größe", 63, Some("gr--e")),
            ("-._", 63, None),
            ("web", 0, None),
        ] {
            assert_eq!(Name::near(text, longest).as_ref().map(Name::as_str), near, "{text}");
        }
    }

    #[test]
    fn service_references_read_left_to_right() {
        let parsed: ServiceRef = "svc1.dev.overlay".parse().expect("three parts");
        assert_eq!(parsed.service.as_str(), "svc1");
        assert_eq!(parsed.network.as_ref().map(Name::as_str), Some("dev"));
        assert_eq!(parsed.driver.as_ref().map(Name::as_str), Some("overlay"));
        assert_eq!(parsed.to_string(), "svc1.dev.overlay");
        assert!("a.b.c.d".parse::<ServiceRef>().is_err());
        assert!("a..c".parse::<ServiceRef>().is_err());
        assert!(format!("{}.dev", "0".repeat(64)).parse::<ServiceRef>().is_ok());
    }
}
