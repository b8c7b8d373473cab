//! Networks that are made where they are not there yet.

use ipnet::IpNet;

use super::{Controller, Error, Kind, Result, find, keys::Stored};
use crate::model::{Network, NetworkId, NetworkSpec, SandboxId};

impl Controller {
    /// The network that a sandbox is to join, which is made if it is not there. That it was is noted with a sandbox that
    /// is still being made.
    pub(super) async fn provide_network(
        &self,
        id: &SandboxId,
        spec: NetworkSpec,
    ) -> Result<Provided> {
        let there = |network| Ok(Provided { network: check_fits(network, &spec)?, made: false });
        let host = &self.config.host;
        let created = match find::network(&*self.store, host, spec.name.as_str()).await {
            Ok(Stored { value: network, .. }) => {
                self.check_here(&network, "publish")?;
                return there(network);
            }
            Err(error) if error.kind == Kind::NotFound => {
                let network = NetworkId::random();
                self.records.update(id, |record| {
                    if let Some(pending) = &mut record.pending {
                        pending.networks.push(network.clone());
                    }
                })?;
                self.create_network_as(&network, spec.clone(), None).await
            }
            Err(error) => return Err(error),
        };
        match created {
            Ok(view) => Ok(Provided { network: view.network, made: true }),
            // Another host made it in the meantime, which is as good.
            Err(error) if error.kind == Kind::Conflict => {
                match find::network(&*self.store, host, spec.name.as_str()).await {
                    Ok(network) => there(network.value),
                    // What is in the way is not to be had here.
                    Err(missing) if missing.kind == Kind::NotFound => Err(error),
                    Err(missing) => Err(missing),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// A network to join.
pub(super) struct Provided {
    pub(super) network: Network,
    /// Whether it was made for this.
    pub(super) made: bool,
}

/// Refuses a network that is another than was asked for.
fn check_fits(network: Network, asked: &NetworkSpec) -> Result<Network> {
    let name = &network.name;
    if asked.driver.as_ref().is_some_and(|driver| *driver != network.driver) {
        return Err(Error::conflict(format!(
            "network {name} is there already with driver {}: leave the driver out, or choose another network",
            network.driver
        )));
    }
    let has = |cidr: &IpNet| network.subnets.iter().any(|own| own.cidr == *cidr);
    if let Some(cidr) = asked.subnets.iter().find(|cidr| !has(cidr)) {
        return Err(Error::conflict(format!(
            "network {name} is there already without subnet {cidr}: leave the subnet out, or choose another network"
        )));
    }
    Ok(network)
}
