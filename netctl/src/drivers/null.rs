//! Nothing: a sandbox on such a network has its loopback device and no other.

use async_trait::async_trait;

use super::{
    Device, Driver, Error, HostContext, Local, Place, Plan, Presence, Present, options::Options,
};
use crate::{
    dataplane::Desired,
    model::{Endpoint, Network, NetworkSpec},
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Null;

#[async_trait]
impl Driver for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn plan(&self, spec: &NetworkSpec) -> Result<Plan, Error> {
        Options::of(self.name(), spec).finish()?;
        Ok(Plan::default())
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
    ) -> Result<Option<Device>, Error> {
        Ok(None)
    }

    fn forward(
        &self,
        _host: &HostContext,
        _network: &Network,
        _presence: &Presence,
        _local: &[Local<'_>],
        _remote: &[&Endpoint],
        _desired: &mut Desired,
    ) {
    }

    async fn sweep(&self, _host: &HostContext, _present: &Present) -> Result<(), Error> {
        Ok(())
    }
}
