//! Which call is what.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Scope, ipam, network};
use crate::{
    controller::{self, Controller},
    plugin,
};

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is none of this name.
    #[error("netctl knows no call {method}")]
    Unknown {
        /// The name.
        method: String,
    },
    /// What came with it cannot be read.
    #[error("{method} cannot be read: {reason}")]
    Garbled {
        /// The call.
        method: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be done.
    #[error("{0}")]
    Refused(#[from] controller::Error),
    /// netctl has a mistake.
    #[error("the call broke off inside netctl; the daemon's log says where")]
    Broke,
}

/// A call with what came with it.
pub(super) struct Call<'a> {
    pub(super) controller: &'a Controller,
    method: &'a str,
    body: &'a [u8],
}

impl Call<'_> {
    /// What came with it.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, Failure> {
        plugin::decode(self.body).map_err(|reason| self.garbled(reason))
    }

    pub(super) fn garbled(&self, reason: impl Into<String>) -> Failure {
        Failure::Garbled { method: self.method.to_owned(), reason: reason.into() }
    }

    /// Reads a part of it.
    pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        field: &str,
        text: &str,
    ) -> Result<T, Failure> {
        text.parse().map_err(|error: T::Err| self.garbled(format!("{field} {text:?}: {error}")))
    }

    /// The same, where it may be empty for nothing.
    pub(super) fn parse_some<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        field: &str,
        text: &str,
    ) -> Result<Option<T>, Failure> {
        (!text.is_empty()).then(|| self.parse(field, text)).transpose()
    }
}

/// Does what an engine asks for, and returns the answer.
pub(super) async fn call(
    controller: &Controller,
    scope: Scope,
    method: &str,
    body: &[u8],
) -> Result<Value, Failure> {
    let call = Call { controller, method, body };
    tracing::debug!(method, body = %String::from_utf8_lossy(body), "called by an engine");
    match method {
        "Plugin.Activate" => Ok(json!({"Implements": ["NetworkDriver", "IpamDriver"]})),
        "NetworkDriver.GetCapabilities" => Ok(network::capabilities(scope)),
        "NetworkDriver.GwAllocCheck" => Ok(json!({"SkipIPv4": false, "SkipIPv6": false})),
        "NetworkDriver.AllocateNetwork" => network::allocate(&call).await,
        "NetworkDriver.FreeNetwork" => network::free(&call).await,
        "NetworkDriver.CreateNetwork" => network::create(&call).await,
        "NetworkDriver.DeleteNetwork" => network::delete(&call).await,
        "NetworkDriver.CreateEndpoint" => network::create_endpoint(&call).await,
        "NetworkDriver.DeleteEndpoint" => network::delete_endpoint(&call).await,
        "NetworkDriver.EndpointOperInfo" => Ok(json!({"Value": {}})),
        "NetworkDriver.Join" => network::join(&call).await,
        "NetworkDriver.Leave" => network::leave(&call).await,
        "NetworkDriver.ProgramExternalConnectivity" => network::open_ports(&call).await,
        "NetworkDriver.RevokeExternalConnectivity" => network::close_ports(&call).await,
        // Hosts are known by the store.
        "NetworkDriver.DiscoverNew" | "NetworkDriver.DiscoverDelete" => Ok(json!({})),
        "IpamDriver.GetCapabilities" => Ok(ipam::capabilities()),
        "IpamDriver.GetDefaultAddressSpaces" => Ok(ipam::spaces()),
        "IpamDriver.RequestPool" => ipam::request_pool(&call).await,
        "IpamDriver.ReleasePool" => ipam::release_pool(&call).await,
        "IpamDriver.RequestAddress" => ipam::request_address(&call).await,
        "IpamDriver.ReleaseAddress" => ipam::release_address(&call).await,
        _ => Err(Failure::Unknown { method: method.to_owned() }),
    }
}
