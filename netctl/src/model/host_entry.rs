//! Names that a sandbox knows by its own `/etc/hosts`.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{HostName, NameError};

/// A name and its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostEntry {
    /// The name.
    pub name: HostName,
    /// Its address.
    pub address: IpAddr,
}

/// Why a text is no [`HostEntry`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostEntryError {
    /// It has one part.
    #[error("host {text:?} has no address: write NAME:IP")]
    Parts {
        /// The text.
        text: String,
    },
    /// Its name is none.
    #[error("host {text:?}: {source}")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with the name.
        source: NameError,
    },
    /// Its address is none.
    #[error("host {text:?}: {address:?} is no IP address")]
    Address {
        /// The text.
        text: String,
        /// What stands for an address.
        address: String,
    },
}

impl FromStr for HostEntry {
    type Err = HostEntryError;

    fn from_str(text: &str) -> Result<Self, HostEntryError> {
        // As Docker: either of both, and an IPv6 address may be in brackets.
        let (name, address) = text
            .split_once(['=', ':'])
            .ok_or_else(|| HostEntryError::Parts { text: text.to_owned() })?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = name
            .parse()
            .map_err(|source| HostEntryError::Name { text: text.to_owned(), source })?;
        let address = bare.unwrap_or(address).parse().map_err(|_none| HostEntryError::Address {
            text: text.to_owned(),
            address: address.to_owned(),
        })?;
        Ok(Self { name, address })
    }
}

impl TryFrom<String> for HostEntry {
    type Error = HostEntryError;

    fn try_from(text: String) -> Result<Self, HostEntryError> {
        text.parse()
    }
}

impl From<HostEntry> for String {
    fn from(entry: HostEntry) -> Self {
        entry.to_string()
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_docker_reads_them() {
        for (text, shown) in [
            ("db:10.0.0.1", "db:10.0.0.1"),
            ("db=10.0.0.1", "db:10.0.0.1"),
            ("db.example:fd00::1", "db.example:fd00::1"),
            ("db:[fd00::1]", "db:fd00::1"),
        ] {
            assert_eq!(text.parse::<HostEntry>().expect(text).to_string(), shown);
        }
        for (text, why) in [
            ("db", "has no address: write NAME:IP"),
            ("d b:10.0.0.1", "must consist of"),
            (":10.0.0.1", "a name must not be empty"),
            ("db:10.0.0", "\"10.0.0\" is no IP address"),
        ] {
            let error = text.parse::<HostEntry>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
