//! Why a request failed, as runtimes are told.

use serde_json::{Value, json};

use super::version::Version;
use crate::{
    api::client,
    controller::{self, Kind},
};

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

/// The code of a failure: those of the specification (section 5), and from 100 on netctl's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// A version that is not spoken, or that has not that request.
    IncompatibleVersion = 1,
    /// A field that nothing is done with although it asks for something.
    UnsupportedField = 2,
    /// The container's namespace is not there: nothing has to be undone.
    UnknownContainer = 3,
    /// Something in the environment.
    Environment = 4,
    /// Input or output.
    Io = 5,
    /// What stands on standard input is no JSON.
    Decode = 6,
    /// A value in the network configuration.
    Configuration = 7,
    /// The daemon or its store is away.
    TryAgainLater = 11,
    /// STATUS: the store is away.
    NotAvailable = 50,
    /// STATUS: the daemon is away; containers have no names until it is back.
    LimitedConnectivity = 51,
    /// Not now, because of what else there is.
    Forbidden = 100,
    /// Something that is named is not there.
    NotFound = 101,
    /// What is asked for is taken.
    Conflict = 102,
    /// The kernel or netctl itself failed.
    Internal = 103,
    /// CHECK: something is not as it was.
    Changed = 104,
}

/// A failure: its code, and a sentence that says what to do.
#[derive(Clone, Debug)]
pub(super) struct Error {
    code: Code,
    message: String,
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same failure as STATUS has it: until a daemon that is away is back, containers resolve no names.
    pub(super) fn of_status(self) -> Self {
        let away = self.code == Code::TryAgainLater;
        Self { code: if away { Code::LimitedConnectivity } else { self.code }, ..self }
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    pub(super) fn to_json(&self, version: Version) -> Value {
        json!({ "cniVersion": version.as_str(), "code": self.code as u32, "msg": self.message })
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        let code = match &error {
            client::Error::Unreachable { .. } => Code::TryAgainLater,
            client::Error::Denied { .. } => Code::Io,
            client::Error::Garbled { .. } => Code::Internal,
            client::Error::Failed(controller::Error { kind, .. }) => match kind {
                Kind::Unusable => Code::Configuration,
                Kind::Forbidden => Code::Forbidden,
                Kind::NotFound => Code::NotFound,
                Kind::Conflict => Code::Conflict,
                Kind::Unavailable => Code::TryAgainLater,
                Kind::Internal => Code::Internal,
            },
        };
        Self::new(code, error.to_string())
    }
}
