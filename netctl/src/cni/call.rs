//! One request: what the runtime put into the environment and on standard input.

use std::{env::VarError, io::Read, path::PathBuf};

use serde_json::Value;

use super::{
    error::{Code, Error, Result},
    version::Version,
};
use crate::{
    kernel::{self, Netns},
    model::{CniName, DeviceName},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Verb {
    const ALL: [Self; 6] =
        [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

/// What tells attachments apart (section 3).
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) container: CniName,
    pub(super) device: DeviceName,
}

/// A request as it came; each part is looked at when it is needed, since no request needs all.
#[derive(Debug)]
pub(super) struct Call {
    command: Option<String>,
    container: Option<String>,
    netns: Option<String>,
    device: Option<String>,
    arguments: String,
    configuration: Result<Value>,
}

impl Call {
    pub(super) fn read(
        environment: impl Fn(&'static str) -> std::result::Result<String, VarError>,
        mut input: impl Read,
    ) -> Self {
        let variable = |name| environment(name).ok().filter(|value| !value.is_empty());
        let mut text = Vec::new();
        let configuration = match input.read_to_end(&mut text) {
            Ok(_) => serde_json::from_slice(&text).map_err(|error| {
                let why =
                    format!("the network configuration on standard input is no JSON: {error}");
                Error::new(Code::Decode, why)
            }),
            Err(error) => Err(Error::new(Code::Io, format!("cannot read standard input: {error}"))),
        };
        Self {
            command: variable("CNI_COMMAND"),
            container: variable("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS"),
            device: variable("CNI_IFNAME"),
            arguments: variable("CNI_ARGS").unwrap_or_default(),
            configuration,
        }
    }

    pub(super) fn verb(&self) -> Result<Verb> {
        let command = self.command.as_deref().ok_or_else(|| {
            let why = "netctl-cni is for container runtimes, which set CNI_COMMAND: put it where they look for plugins \
                       with `netctl cni install`";
            Error::new(Code::Environment, why)
        })?;
        Verb::ALL.into_iter().find(|verb| verb.as_str() == command).ok_or_else(|| {
            let all = Verb::ALL.map(Verb::as_str).join(", ");
            let why = format!("CNI_COMMAND is {command:?}, which is none of {all}");
            Error::new(Code::Environment, why)
        })
    }

    /// The version to answer in: that of the network configuration, or else the newest.
    pub(super) fn version(&self) -> Version {
        let text = self.configuration.as_ref().ok().and_then(|conf| conf.get("cniVersion"));
        text.and_then(Value::as_str).and_then(Version::parse).unwrap_or(Version::NEWEST)
    }

    pub(super) fn configuration(&self) -> Result<&Value> {
        self.configuration.as_ref().map_err(Clone::clone)
    }

    pub(super) fn arguments(&self) -> &str {
        &self.arguments
    }

    pub(super) fn attachment(&self) -> Result<Attachment> {
        let container = required(self.container.as_ref(), "CNI_CONTAINERID")?;
        let device = required(self.device.as_ref(), "CNI_IFNAME")?;
        Ok(Attachment {
            container: container.parse().map_err(|error| unusable("CNI_CONTAINERID", &error))?,
            device: device.parse().map_err(|error| unusable("CNI_IFNAME", &error))?,
        })
    }

    /// The container's namespace, and its path as the runtime has it.
    pub(super) fn netns(&self) -> Result<(PathBuf, Netns)> {
        let path = PathBuf::from(required(self.netns.as_ref(), "CNI_NETNS")?);
        let netns = Netns::open(&path).map_err(|error| {
            let missing = matches!(error, kernel::Error::NetnsMissing { .. });
            let code = if missing { Code::UnknownContainer } else { Code::Environment };
            Error::new(code, format!("CNI_NETNS: {error}"))
        })?;
        Ok((path, netns))
    }
}

fn required<'a>(value: Option<&'a String>, name: &str) -> Result<&'a String> {
    value.ok_or_else(|| {
        Error::new(Code::Environment, format!("{name} is not set: the runtime has to set it"))
    })
}

fn unusable(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::Environment, format!("{name}: {error}"))
}
