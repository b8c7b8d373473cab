//! Addresses that container engines have asked for, and that no endpoint has yet.
//!
//! Such an address is taken by its key alone: the value says for whom it is kept, and since when.

use std::{fmt, str::FromStr};

use crate::model::{HostName, UnixTime};

const WORD: &str = "held";
const SWARM: &str = "swarm";
const HOST: &str = "host";

/// Whom an address is kept for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The engine of a host.
    Host(HostName),
    /// A Swarm: its engines, whichever of them an endpoint is on.
    Swarm,
}

/// The value of an address that is kept for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For whom.
    pub holder: Holder,
    /// When it was asked for last.
    pub since: UnixTime,
}

impl Hold {
    /// What the value of an address' key says; nothing where an endpoint or the gateway has it.
    pub fn read(value: &[u8]) -> Option<Self> {
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// Whether an endpoint that the engine of `host` makes may have it.
    pub fn is_for(&self, host: &HostName) -> bool {
        match &self.holder {
            Holder::Host(own) => own == host,
            Holder::Swarm => true,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since;
        match &self.holder {
            Holder::Host(host) => write!(f, "{WORD} {since} {HOST} {host}"),
            Holder::Swarm => write!(f, "{WORD} {since} {SWARM}"),
        }
    }
}

impl FromStr for Hold {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let (since, holder) = match *words.as_slice() {
            [WORD, since, SWARM] => (since, Holder::Swarm),
            [WORD, since, HOST, host] => (since, Holder::Host(host.parse().map_err(drop)?)),
            _ => return Err(()),
        };
        Ok(Self { holder, since: since.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_read_as_it_was_written_and_told_from_owners() {
        let host: HostName = "h1.example".parse().expect("a name");
        for holder in [Holder::Host(host.clone()), Holder::Swarm] {
            let hold = Hold { holder, since: 1_700_000_000 };
            assert_eq!(Hold::read(hold.to_string().as_bytes()), Some(hold.clone()));
            assert!(hold.is_for(&host));
        }
        let other = Hold { holder: Holder::Host("h2".parse().expect("a name")), since: 1 };
        assert!(!other.is_for(&host));
        for owner in ["gateway", &"ab".repeat(32), "held", "held x swarm", "held 1 host a b", ""] {
            assert_eq!(Hold::read(owner.as_bytes()), None, "{owner}");
        }
    }
}
