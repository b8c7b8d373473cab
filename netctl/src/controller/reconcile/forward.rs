//! What the data plane should hold, from what the store says and what stands.

use super::Reconciler;
use crate::{dataplane::Desired, drivers::Local, model::Endpoint};

impl Reconciler {
    /// All of it, of the networks that were listed.
    pub(super) fn desired(&self) -> Desired {
        let mut desired = Desired::default();
        for (id, followed) in &self.followed {
            let Some(presence) = self.presence(id) else { continue };
            let driver = self.drivers.get(&followed.network.driver);
            let mirror = followed.endpoints.borrow();
            let (mut local, mut remote): (Vec<Local<'_>>, Vec<&Endpoint>) =
                (Vec::new(), Vec::new());
            for (endpoint, _) in mirror.entries.values() {
                if endpoint.vteps().is_none() {
                    continue;
                }
                if endpoint.owner.as_ref().is_none_or(|owner| owner.host != self.host) {
                    remote.push(endpoint);
                } else if let Some(port) =
                    self.built.get(&endpoint.id).and_then(|built| built.joined.port.as_ref())
                {
                    local.push(Local { endpoint, port });
                }
            }
            driver.forward(
                &self.context,
                &followed.network,
                presence,
                &local,
                &remote,
                &mut desired,
            );
        }
        desired
    }
}
