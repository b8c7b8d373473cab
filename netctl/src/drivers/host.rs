//! The host's own network stack: a sandbox on such a network is in the host's namespace, with all that the host has.
//!
//! The driver makes nothing. Which sandboxes may have such an endpoint is the controller's to check, by
//! [`Driver::is_host`].

use async_trait::async_trait;

use super::{Driver, Error, HostContext, Joined, Place, Plan, Presence, Scope, options::Options};
use crate::model::{Endpoint, Network, NetworkSpec};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct HostStack;

#[async_trait]
impl Driver for HostStack {
    fn name(&self) -> &'static str {
        "host"
    }

    fn is_host(&self) -> bool {
        true
    }

    async fn plan(&self, _host: &HostContext, spec: &NetworkSpec) -> Result<Plan, Error> {
        Options::of(self.name(), spec).finish()?;
        Ok(Plan { scope: Scope::Sole, ..Plan::default() })
    }

    async fn enter(&self, _host: &HostContext, _network: &Network) -> Result<Presence, Error> {
        Ok(Presence::default())
    }

    async fn join(
        &self,
        _host: &HostContext,
        _network: &Network,
        _endpoint: &Endpoint,
        _place: Place<'_>,
    ) -> Result<Joined, Error> {
        Ok(Joined::default())
    }
}
