//! What an engine does with the interface that a plugin names: it is moved into the container's namespace, renamed, given its
//! addresses and raised, and gets its routes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Netns};

use crate::docker::{Docker, Pool};

/// A container with one interface.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) network: String,
    pub(crate) endpoint: String,
    pub(crate) addresses: Vec<(Pool, String)>,
    /// What Join has answered.
    pub(crate) joined: Value,
}

/// A container that is to be.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) network: &'a str,
    pub(crate) pools: &'a [&'a Pool],
    /// The address that it is to have of the first pool; any where it is empty.
    pub(crate) wanted: &'a str,
    pub(crate) mac: &'a str,
}

impl<'a> Start<'a> {
    pub(crate) fn new(name: &'a str, network: &'a str, pools: &'a [&'a Pool]) -> Self {
        Self { name, network, pools, wanted: "", mac: "" }
    }
}

/// The namespace of the container `name`, as the engine says it: nothing that the daemon could open.
pub(crate) fn key(name: &str) -> String {
    format!("/var/run/docker/netns/{name}")
}

/// All of `docker run` on `host`.
pub(crate) fn run(host: &Host, docker: &Docker, start: &Start<'_>) -> Result<Container> {
    let Start { name, network, pools, wanted, mac } = *start;
    let run = host.netns().path().ancestors().nth(2).context("the run's directory")?;
    let netns = Netns::new(run, name)?;
    let mut addresses = Vec::new();
    for (number, pool) in pools.iter().enumerate() {
        let wanted = if number == 0 { wanted } else { "" };
        addresses.push(((*pool).clone(), docker.address(pool, wanted)?));
    }
    let endpoint = docker.id();
    let family = |v6: bool| {
        let found = addresses.iter().find(|(_, address)| address.contains(':') == v6);
        found.map(|(_, address)| address.clone()).unwrap_or_default()
    };
    let created = docker.ask(
        "NetworkDriver.CreateEndpoint",
        &json!({
            "NetworkID": network, "EndpointID": endpoint,
            "Interface": {"Address": family(false), "AddressIPv6": family(true), "MacAddress": mac},
            "Options": {"com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": []},
        }),
    )?;
    let given = created["Interface"]["MacAddress"].as_str().unwrap_or_default();
    ensure!(mac.is_empty() != given.is_empty(), "{created}");
    let of = json!({
        "NetworkID": network, "EndpointID": endpoint, "SandboxKey": key(name),
        "Options": {"com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": []},
    });
    let joined = docker.ask("NetworkDriver.Join", &of)?;
    let container = Container { netns, network: network.to_owned(), endpoint, addresses, joined };
    container.take(host)?;
    Ok(container)
}

impl Container {
    pub(crate) fn of(&self) -> Value {
        json!({"NetworkID": self.network, "EndpointID": self.endpoint})
    }

    /// The address without its length.
    pub(crate) fn address(&self) -> &str {
        self.addresses[0].1.split('/').next().unwrap_or_default()
    }

    /// Takes the interface to the container.
    pub(crate) fn take(&self, host: &Host) -> Result<()> {
        let name = &self.joined["InterfaceName"];
        let device = name["SrcName"].as_str().context("no SrcName")?;
        let own = format!("{}0", name["DstPrefix"].as_str().context("no DstPrefix")?);
        let place = self.netns.path().display();
        host.netns().ip([format!("link set {device} netns {place} name {own}")])?;
        let mut lines: Vec<String> = Vec::new();
        for (_, address) in &self.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            lines.push(format!("addr add {address} dev {own}{nodad}"));
        }
        lines.push(format!("link set {own} up"));
        for field in ["Gateway", "GatewayIPv6"] {
            if let Some(gateway) = self.joined[field].as_str().filter(|text| !text.is_empty()) {
                lines.push(format!("route add default via {gateway} dev {own}"));
            }
        }
        for route in self.joined["StaticRoutes"].as_array().into_iter().flatten() {
            let to = route["Destination"].as_str().context("no Destination")?;
            match route["NextHop"].as_str().filter(|text| !text.is_empty()) {
                Some(router) => lines.push(format!("route add {to} via {router} dev {own}")),
                None => lines.push(format!("route add {to} dev {own}")),
            }
        }
        self.netns.ip(lines)
    }

    pub(crate) fn ping(&self, address: &str) -> Result<()> {
        let words = ["ping", "-c", "1", "-W", "2", address];
        self.netns.run(words)?.ok().with_context(|| format!("{address} is not reached")).map(drop)
    }

    /// All of `docker rm -f`, in Docker's order. The namespace is left to who drops this.
    pub(crate) fn stop(&self, docker: &Docker) -> Result<()> {
        docker.ask("NetworkDriver.RevokeExternalConnectivity", &self.of())?;
        docker.ask("NetworkDriver.Leave", &self.of())?;
        docker.ask("NetworkDriver.DeleteEndpoint", &self.of())?;
        for (pool, address) in &self.addresses {
            let address = address.split('/').next().unwrap_or_default();
            let asked = json!({"PoolID": pool.id, "Address": address});
            docker.ask("IpamDriver.ReleaseAddress", &asked)?;
        }
        Ok(())
    }
}
