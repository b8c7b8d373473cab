//! Why an operation failed, for people and for programs.

use crate::{dataplane, drivers, ipam, kernel, plugin, store};

/// What sort of failure it is; each has its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request can never be done as it is.
    Unusable,
    /// 403: not now, because of what else there is.
    Forbidden,
    /// 404: what it names is not there.
    NotFound,
    /// 409: what it wants is taken.
    Conflict,
    /// 503: the store is away.
    Unavailable,
    /// 500: the kernel or netctl itself failed.
    Internal,
}

/// Why an operation failed: one sentence that names the object, the value and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The sort.
    pub kind: Kind,
    /// The sentence.
    pub message: String,
}

impl Error {
    /// Makes an error of `kind` that says `message`, in which control characters are written as in Rust: it repeats what
    /// people and programs asked for, and is to stay on its line on terminals and in logs.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.contains(char::is_control) {
            let shown = |char: char| {
                if char.is_control() { char.escape_default().to_string() } else { char.to_string() }
            };
            message = message.chars().map(shown).collect();
        }
        Self { kind, message }
    }

    /// See [`Kind::Unusable`].
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unusable, message)
    }

    /// See [`Kind::Forbidden`].
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, message)
    }

    /// See [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// See [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// See [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let kind = match error {
            store::Error::Unavailable { .. } => Kind::Unavailable,
            store::Error::Compacted { .. }
            | store::Error::LeaseLost { .. }
            | store::Error::Refused { .. } => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<dataplane::Error> for Error {
    fn from(error: dataplane::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<drivers::Error> for Error {
    fn from(error: drivers::Error) -> Self {
        let kind = match error {
            drivers::Error::Unknown { .. } => Kind::NotFound,
            drivers::Error::Option { .. }
            | drivers::Error::Value { .. }
            | drivers::Error::Twice { .. } => Kind::Unusable,
            drivers::Error::Plugin(
                plugin::Error::Refused { .. } | plugin::Error::NotImplemented { .. },
            ) => Kind::Forbidden,
            drivers::Error::Network { .. }
            | drivers::Error::Kernel(_)
            | drivers::Error::Plugin(_)
            | drivers::Error::RolledBack(_)
            | drivers::Error::Journal(_)
            | drivers::Error::Pending => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<plugin::Error> for Error {
    fn from(error: plugin::Error) -> Self {
        let kind = match error {
            plugin::Error::Missing { .. } => Kind::NotFound,
            plugin::Error::Refused { .. } | plugin::Error::NotImplemented { .. } => Kind::Forbidden,
            plugin::Error::File { .. }
            | plugin::Error::Scope { .. }
            | plugin::Error::Unreachable { .. }
            | plugin::Error::Late { .. }
            | plugin::Error::Unknown { .. }
            | plugin::Error::Garbled { .. } => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ipam::Error> for Error {
    fn from(error: ipam::Error) -> Self {
        let kind = match error {
            ipam::Error::Store(error) => return error.into(),
            ipam::Error::AddressOutside { .. }
            | ipam::Error::MacDerived { .. }
            | ipam::Error::Option { .. }
            | ipam::Error::OwnOverlap { .. }
            | ipam::Error::Subnet(_) => Kind::Unusable,
            ipam::Error::AddressTaken { .. }
            | ipam::Error::AddressKept { .. }
            | ipam::Error::MacTaken { .. }
            | ipam::Error::PoolOverlap { .. }
            | ipam::Error::HostOverlap { .. }
            | ipam::Error::VniTaken { .. } => Kind::Conflict,
            ipam::Error::Exhausted { .. }
            | ipam::Error::NoPool { .. }
            | ipam::Error::NoPoolOf { .. }
            | ipam::Error::NoVni => Kind::Forbidden,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_stays_on_its_line() {
        let error = Error::not_found("there is no network d\u{e9}v\n\u{1b}[2J\u{85}");
        assert_eq!(error.to_string(), "there is no network d\u{e9}v\\n\\u{1b}[2J\\u{85}");
    }
}
