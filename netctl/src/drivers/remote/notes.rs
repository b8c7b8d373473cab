//! What plugins were told on this host, and are to be told the opposite of one day.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    model::{MacAddr, NetworkId},
    plugin::{JoinAnswer, Ports},
};

/// A network that a plugin was told of, or is being told of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NotedNetwork {
    pub(super) plugin: String,
    /// Whether it answered that the network is made; else that is not known.
    pub(super) made: bool,
}

/// A network that a plugin was to choose something for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NotedAllotment {
    pub(super) plugin: String,
    /// What it answered; where it has not, it is not known whether it has.
    pub(super) options: Option<BTreeMap<String, String>>,
}

/// An endpoint that a plugin was told of, or is being told of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NotedEndpoint {
    pub(super) plugin: String,
    pub(super) network: NetworkId,
    /// The namespace of the sandbox that it is for.
    pub(super) sandbox: PathBuf,
    /// The ports that it was told of.
    #[serde(default)]
    pub(super) ports: Ports,
    /// Whether it answered that the endpoint is made; else that is not known.
    pub(super) made: bool,
    /// The link-layer address that the plugin chose.
    pub(super) mac: Option<MacAddr>,
    /// Whether it was told to have the endpoint join.
    pub(super) joining: bool,
    /// What it answered to that.
    pub(super) joined: Option<JoinAnswer>,
    /// The name that its device has in the sandbox, or is about to get.
    pub(super) device: Option<String>,
    /// Whether it was told that the endpoint is its sandbox's way out.
    pub(super) leads: bool,
}
