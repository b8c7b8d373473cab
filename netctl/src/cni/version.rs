//! Versions of the specification.

use super::{
    call::Verb,
    error::{Code, Error, Result},
};

/// A version that is spoken. They differ in what a result has, and in which requests there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    pub(super) const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    pub(super) const NEWEST: Self = Self::V1_1_0;

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Refuses a request that this version has not.
    pub(super) fn check(self, verb: Verb) -> Result<()> {
        let since = match verb {
            Verb::Add | Verb::Del | Verb::Version => return Ok(()),
            Verb::Check => Self::V0_4_0,
            Verb::Status | Verb::Gc => Self::V1_1_0,
        };
        if self >= since {
            return Ok(());
        }
        Err(Error::new(
            Code::IncompatibleVersion,
            format!(
                "{} is in CNI from version {} on, and the network configuration is of {}: raise its cniVersion",
                verb.as_str(),
                since.as_str(),
                self.as_str()
            ),
        ))
    }
}
