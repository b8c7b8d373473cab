//! What a container engine has of networks: what it was told, as the store keeps it.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Name, NetworkId, UnixTime};

/// The longest identifier that is taken.
const LONGEST: usize = 64;

/// A text that no engine has for an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no network of a container engine: its identifiers are of 12 to {LONGEST} small letters and digits"
)]
pub struct EngineNetworkIdError {
    text: String,
}

/// A network, as a container engine names it: 64 hexadecimal digits, or with Swarm 25 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineNetworkId(String);

impl EngineNetworkId {
    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for EngineNetworkId {
    type Error = EngineNetworkIdError;

    fn try_from(text: String) -> Result<Self, EngineNetworkIdError> {
        let fits = (12..=LONGEST).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if fits { Ok(Self(text)) } else { Err(EngineNetworkIdError { text }) }
    }
}

impl FromStr for EngineNetworkId {
    type Err = EngineNetworkIdError;

    fn from_str(text: &str) -> Result<Self, EngineNetworkIdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<EngineNetworkId> for String {
    fn from(id: EngineNetworkId) -> Self {
        id.0
    }
}

impl fmt::Display for EngineNetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An address pool that an engine asked for: a subnet of a network, or of one that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnginePool {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The subnet.
    pub cidr: IpNet,
    /// The part of it that the engine wants addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<IpNet>,
    /// The network's name, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The network, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkId>,
    /// When it was asked for last.
    pub asked: UnixTime,
}

/// A network of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineNetwork {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The network that it is.
    pub network: NetworkId,
    /// Its pools, by the names that the engine has for them.
    pub pools: Vec<String>,
    /// When it was made.
    pub created: UnixTime,
}

/// An endpoint of an engine, whose identifier is the endpoint's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEndpoint {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The network that it is in.
    pub network: NetworkId,
    /// As the engine names that.
    pub engine_network: EngineNetworkId,
    /// When it was made.
    pub created: UnixTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_engines_and_of_swarm_are_taken_and_nothing_else() {
        let hex = "19d4b4d86dadaa6cf72c645acbfd283657894972f3a23084d7470b7cb9573651";
        for text in [hex, "a1pgo66y7c8v6fj2648au2zxe"] {
            let id: EngineNetworkId = text.parse().expect(text);
            assert_eq!((id.as_str(), id.short()), (text, &text[..12]));
        }
        for text in ["", "abc", "../../networks", "A1pgo66y7c8v6fj2648au2zxe", &"a".repeat(65)] {
            text.parse::<EngineNetworkId>().expect_err(text);
        }
    }
}
