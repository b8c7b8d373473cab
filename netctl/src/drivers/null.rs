//! Nothing: a sandbox on such a network has its loopback device and no other.

use async_trait::async_trait;

use super::{Driver, Error, HostContext, Joined, Place, Plan, Presence, Scope, options::Options};
use crate::model::{Endpoint, Network, NetworkSpec};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Null;

#[async_trait]
impl Driver for Null {
    fn name(&self) -> &'static str {
        "null"
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
