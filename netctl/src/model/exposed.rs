//! Ports that a service says it listens on.

use std::{fmt, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Name, NameError};

/// What a port is a port of.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 9293.
    #[default]
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Transport {
    /// Its number in IP headers (IANA's protocol numbers).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl FromStr for Transport {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is = |transport: &Self| transport.as_str().eq_ignore_ascii_case(text);
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(is).ok_or(())
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port that a service listens on, as SRV records have it: `PORT[/PROTO][:NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExposedPort {
    /// What it is called, beside its number.
    pub name: Option<Name>,
    /// Its number.
    pub port: NonZeroU16,
    /// What it is a port of.
    pub transport: Transport,
}

/// Why a text is not an [`ExposedPort`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExposedPortError {
    /// Its name is none.
    #[error("port {text:?}: {source}")]
    Name {
        /// The whole text.
        text: String,
        /// What is wrong with the name.
        source: NameError,
    },
    /// Its name would be taken for a number.
    #[error("port {text:?}: its name must have a letter, or it would read as a number")]
    NoLetter {
        /// The whole text.
        text: String,
    },
    /// Its number is none.
    #[error("port {text:?}: write PORT[/PROTO][:NAME] with a PORT from 1 to 65535")]
    Number {
        /// The whole text.
        text: String,
    },
    /// Nobody knows the protocol.
    #[error("port {text:?}: the protocol must be tcp, udp or sctp")]
    Transport {
        /// The whole text.
        text: String,
    },
}

impl FromStr for ExposedPort {
    type Err = ExposedPortError;

    fn from_str(text: &str) -> Result<Self, ExposedPortError> {
        let (rest, name) = match text.split_once(':') {
            Some((rest, name)) => (rest, Some(name)),
            None => (text, None),
        };
        let (port, transport) = match rest.split_once('/') {
            Some((port, transport)) => (port, transport.parse()),
            None => (rest, Ok(Transport::default())),
        };
        let text = || text.to_owned();
        let name: Option<Name> = name
            .map(str::parse)
            .transpose()
            .map_err(|source| ExposedPortError::Name { text: text(), source })?;
        let letter = |name: &Name| name.as_str().bytes().any(|c| c.is_ascii_alphabetic());
        if !name.as_ref().is_none_or(letter) {
            return Err(ExposedPortError::NoLetter { text: text() });
        }
        let digits = port.bytes().all(|c| c.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits);
        Ok(Self {
            name,
            port: port.ok_or_else(|| ExposedPortError::Number { text: text() })?,
            transport: transport.map_err(|()| ExposedPortError::Transport { text: text() })?,
        })
    }
}

impl TryFrom<String> for ExposedPort {
    type Error = ExposedPortError;

    fn try_from(text: String) -> Result<Self, ExposedPortError> {
        text.parse()
    }
}

impl From<ExposedPort> for String {
    fn from(port: ExposedPort) -> Self {
        port.to_string()
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, transport } = self;
        write!(f, "{port}/{transport}")?;
        name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_written() {
        for (text, written) in [
            ("80", "80/tcp"),
            ("53/UDP", "53/udp"),
            ("8080:http", "8080/tcp:http"),
            ("2905/sctp:m3ua", "2905/sctp:m3ua"),
        ] {
            assert_eq!(text.parse::<ExposedPort>().expect(text).to_string(), written);
        }
        for (text, message) in [
            ("", "with a PORT from 1 to 65535"),
            ("0", "with a PORT from 1 to 65535"),
            ("+80", "with a PORT from 1 to 65535"),
            ("65536", "with a PORT from 1 to 65535"),
            ("http", "with a PORT from 1 to 65535"),
            ("80/icmp", "the protocol must be tcp, udp or sctp"),
            ("80/", "the protocol must be tcp, udp or sctp"),
            ("8080:80", "its name must have a letter"),
            ("80:a.b", "port \"80:a.b\": name \"a.b\" must consist of"),
            ("80:", "port \"80:\": a name must not be empty"),
        ] {
            let error = text.parse::<ExposedPort>().expect_err(text).to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
