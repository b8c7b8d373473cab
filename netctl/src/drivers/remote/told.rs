//! What plugins are told, in libnetwork's order, each noted before it is told: whoever finds the notes can take it back.

use std::path::PathBuf;

use serde_json::json;

use super::{
    super::{Error, HostContext},
    Remotes, interface,
    notes::{NotedAllotment, NotedEndpoint, NotedNetwork},
};
use crate::{
    model::{Endpoint, EndpointId, Network, NetworkId, Subnet},
    plugin::{self, AddressData, NetworkRequest, Ports, RequestedInterface},
};

/// libnetwork's names for who gives addresses, where it does so itself (`ipamutils`).
const SPACES: [&str; 2] = ["LocalDefault", "GlobalDefault"];

impl Remotes {
    /// Has the plugin choose what all hosts are to tell it of a network. One that does not know the call has nothing to
    /// choose: before Docker's swarm none was asked.
    pub(super) async fn allot(&self, plugin: &str, network: &Network) -> Result<(), Error> {
        let id = &network.id;
        let driver = self.driver(plugin).await?;
        let note = NotedAllotment { plugin: plugin.to_owned(), options: None };
        self.allotments.put(id.as_str(), note.clone())?;
        let NetworkRequest { ipv4, ipv6, .. } = request(network);
        match driver.allocate_network(id, &network.options, [&ipv4, &ipv6]).await {
            Ok(options) => {
                let note = NotedAllotment { options: Some(options), ..note };
                Ok(self.allotments.put(id.as_str(), note)?)
            }
            Err(plugin::Error::Unknown { .. }) => Ok(self.allotments.remove(id.as_str())?),
            Err(error) => {
                if matches!(error, plugin::Error::Garbled { .. }) {
                    self.free(id).await?;
                } else if error.is_answer() {
                    self.allotments.remove(id.as_str())?;
                }
                Err(error.into())
            }
        }
    }

    /// Gives back what the plugin chose for a network, if it was asked.
    async fn free(&self, id: &NetworkId) -> Result<(), Error> {
        let Some(note) = self.allotments.get(id.as_str()) else { return Ok(()) };
        let driver = self.driver(&note.plugin).await?;
        let known = note.options.is_some();
        // Whoever comes after a crash does not know whether it was freed.
        self.allotments.put(id.as_str(), NotedAllotment { options: None, ..note })?;
        finish(driver.free_network(id).await, known)?;
        Ok(self.allotments.remove(id.as_str())?)
    }

    /// Has the plugin make a network.
    pub(super) async fn make_network(&self, plugin: &str, network: &Network) -> Result<(), Error> {
        let id = &network.id;
        let noted = self.networks.get(id.as_str());
        let driver = self.driver(plugin).await?;
        if noted.is_some_and(|noted| !noted.made) {
            // Whether it was made nobody knows, and a second time it would be refused.
            finish(driver.delete_network(id).await, false)?;
        }
        let note = NotedNetwork { plugin: plugin.to_owned(), made: false };
        self.networks.put(id.as_str(), note.clone())?;
        match driver.create_network(&request(network)).await {
            Ok(()) => Ok(self.networks.put(id.as_str(), NotedNetwork { made: true, ..note })?),
            Err(error) => {
                if matches!(error, plugin::Error::Garbled { .. }) {
                    finish(driver.delete_network(id).await, false)?;
                }
                if error.is_answer() {
                    self.networks.remove(id.as_str())?;
                }
                Err(error.into())
            }
        }
    }

    /// Has the plugin remove a network, and give back what it chose for it, if it was told of it.
    pub(super) async fn remove_network(&self, id: &NetworkId) -> Result<(), Error> {
        if let Some(note) = self.networks.get(id.as_str()) {
            let driver = self.driver(&note.plugin).await?;
            finish(driver.delete_network(id).await, note.made)?;
            self.networks.remove(id.as_str())?;
        }
        self.free(id).await
    }

    /// Has the plugin make an endpoint and have it join the sandbox whose namespace is at `sandbox`.
    pub(super) async fn make_endpoint(
        &self,
        host: &HostContext,
        plugin: &str,
        network: &Network,
        endpoint: &Endpoint,
        sandbox: PathBuf,
    ) -> Result<(), Error> {
        let id = &endpoint.id;
        // It was for another sandbox, or how far it came is not known.
        self.remove_endpoint(host, id).await?;
        let driver = self.driver(plugin).await?;
        let mut note = NotedEndpoint {
            plugin: plugin.to_owned(),
            network: network.id.clone(),
            sandbox,
            ports: Ports::of(endpoint),
            made: false,
            mac: None,
            joining: false,
            joined: None,
            device: None,
            leads: false,
        };
        self.endpoints.put(id.as_str(), note.clone())?;
        let of = |v6: bool| endpoint.addresses.iter().find(|a| a.addr().is_ipv6() == v6).copied();
        let interface = RequestedInterface {
            address: of(false),
            address6: of(true),
            mac: endpoint.mac,
            mac_wanted: endpoint.mac.is_some(),
            internal: network.internal,
        };
        let mut made = driver.create_endpoint(&network.id, id, &interface, &note.ports).await;
        if made.as_ref().is_err_and(plugin::Error::is_forgotten) {
            // It was started again, and does not know the network any more.
            driver.create_network(&request(network)).await?;
            made = driver.create_endpoint(&network.id, id, &interface, &note.ports).await;
        }
        note.mac = match made {
            Ok(mac) => mac,
            Err(error) => return Err(self.take_back(host, id, error).await),
        };
        note.made = true;
        note.joining = true;
        self.endpoints.put(id.as_str(), note.clone())?;
        match driver.join(&network.id, id, &note.sandbox, &note.ports).await {
            Ok(answer) => {
                note.joined = Some(answer);
                Ok(self.endpoints.put(id.as_str(), note)?)
            }
            Err(error) => {
                if !matches!(error, plugin::Error::Garbled { .. }) && error.is_answer() {
                    // It has not joined, and so cannot leave.
                    note.joining = false;
                    self.endpoints.put(id.as_str(), note)?;
                }
                Err(self.take_back(host, id, error).await)
            }
        }
    }

    /// After the plugin said no, or something that cannot be used. One that says nothing is told later.
    async fn take_back(&self, host: &HostContext, id: &EndpointId, error: plugin::Error) -> Error {
        if !error.is_answer() {
            return error.into();
        }
        match self.remove_endpoint(host, id).await {
            Ok(()) if matches!(error, plugin::Error::Garbled { .. }) => Error::RolledBack(error),
            Ok(()) => error.into(),
            Err(left) => {
                tracing::warn!(endpoint = id.short(), error = %left, "cannot be taken back now; trying again");
                error.into()
            }
        }
    }

    /// Tells the plugin whether an endpoint is its sandbox's way out.
    pub(super) async fn lead(&self, id: &EndpointId, leads: bool) -> Result<(), Error> {
        let Some(note) = self.endpoints.get(id.as_str()) else { return Ok(()) };
        let driver = self.driver(&note.plugin).await?;
        let (network, noted) = (note.network.clone(), NotedEndpoint { leads, ..note });
        if leads {
            self.endpoints.put(id.as_str(), noted.clone())?;
            let told = driver.program_connectivity(&network, id, &noted.ports).await;
            if let Err(error) = told {
                if let Some(note) = self.endpoints.get(id.as_str()).filter(|_| error.is_answer()) {
                    self.endpoints.put(id.as_str(), NotedEndpoint { leads: false, ..note })?;
                }
                return Err(error.into());
            }
            return Ok(());
        }
        finish(driver.revoke_connectivity(&network, id).await, true)?;
        Ok(self.endpoints.put(id.as_str(), noted)?)
    }

    /// Takes an endpoint's device out of its sandbox, and tells the plugin the opposite of all that it was told of it.
    pub(super) async fn remove_endpoint(
        &self,
        host: &HostContext,
        id: &EndpointId,
    ) -> Result<(), Error> {
        let Some(mut note) = self.endpoints.get(id.as_str()) else { return Ok(()) };
        // This needs no plugin.
        interface::take_out(host, &note).await?;
        let driver = self.driver(&note.plugin).await?;
        if note.leads {
            finish(driver.revoke_connectivity(&note.network, id).await, true)?;
            note.leads = false;
            self.endpoints.put(id.as_str(), note.clone())?;
        }
        if note.joining {
            finish(driver.leave(&note.network, id).await, note.joined.is_some())?;
            (note.joining, note.joined, note.device) = (false, None, None);
            self.endpoints.put(id.as_str(), note.clone())?;
        }
        finish(driver.delete_endpoint(&note.network, id).await, note.made)?;
        Ok(self.endpoints.remove(id.as_str())?)
    }
}

/// What a plugin answers that was told to undo something: it has done so, or there is nothing to undo. Where it was not
/// `known` that there is something, each answer is as good.
fn finish(told: Result<(), plugin::Error>, known: bool) -> Result<(), Error> {
    match told {
        Err(error) if error.is_answer() && (!known || error.is_forgotten()) => {
            tracing::info!(%error, "there is nothing to undo");
            Ok(())
        }
        other => Ok(other?),
    }
}

fn request(network: &Network) -> NetworkRequest {
    let generic = network.allotted.as_ref().unwrap_or(&network.options);
    let has_v6 = network.subnets.iter().any(Subnet::is_v6);
    let mut options = std::collections::BTreeMap::from([
        ("com.docker.network.enable_ipv6".to_owned(), json!(has_v6)),
        ("com.docker.network.generic".to_owned(), json!(generic)),
    ]);
    if network.internal {
        options.insert("com.docker.network.internal".to_owned(), json!(true));
    }
    let [local, global] = SPACES;
    let own = if network.host.is_some() { local } else { global };
    let space = network.lease.as_ref().map_or(own, |lease| &lease.space);
    let data = |v6: bool| {
        let of = network.subnets.iter().filter(|subnet| subnet.is_v6() == v6);
        of.map(|subnet| {
            let whole = |address| ipnet::IpNet::new_assert(address, subnet.cidr.prefix_len());
            let aux = subnet.aux.iter();
            AddressData {
                address_space: space.to_owned(),
                aux_addresses: aux.map(|(name, at)| (name.to_string(), whole(*at))).collect(),
                gateway: whole(subnet.gateway),
                pool: subnet.cidr,
            }
        })
        .collect()
    };
    NetworkRequest { network: network.id.clone(), options, ipv4: data(false), ipv6: data(true) }
}
