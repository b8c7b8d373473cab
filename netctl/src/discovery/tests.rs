//! What the tests of this module's parts share: a small world.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{Asker, Askers, Directory, Joined, Zone};
use crate::model::{
    Endpoint, EndpointId, ExposedPort, Name, Network, NetworkId, Owner, SandboxId, Subnet,
};

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn network(label: &str, cidr: &str, internal: bool) -> Network {
    Network {
        subnets: vec![Subnet::new(cidr.parse().expect("a subnet"), None, None).expect("usable")],
        internal,
        ..Network::new(NetworkId::random(), name(label), name("overlay"), 0)
    }
}

pub(crate) fn endpoint(
    network: &Network,
    label: &str,
    aliases: &[&str],
    addresses: &[&str],
    sandbox: Option<&SandboxId>,
) -> Endpoint {
    Endpoint {
        aliases: aliases.iter().map(|alias| name(alias)).collect(),
        addresses: addresses.iter().map(|a| a.parse::<IpNet>().expect("an address")).collect(),
        owner: sandbox.map(|sandbox| Owner {
            host: "h1".parse().expect("a host's name"),
            sandbox: sandbox.clone(),
            vteps: ip("192.0.2.1").into(),
            ports: Vec::new(),
            takes_along: false,
        }),
        ..Endpoint::new(EndpointId::random(), network.id.clone(), name(label), 0)
    }
}

pub(super) fn ports(texts: &[&str]) -> Vec<ExposedPort> {
    texts.iter().map(|text| text.parse().expect("a port")).collect()
}

/// Two networks joined by one sandbox, an internal one joined by another, and one joined by neither.
pub(super) struct World {
    pub(super) dev: Network,
    pub(super) prod: Network,
    pub(super) closed: Network,
    pub(super) directory: Directory,
}

pub(super) fn world() -> World {
    let dev = network("dev", "10.1.0.0/24", false);
    let prod = network("Prod", "10.2.0.0/24", false);
    let closed = network("closed", "10.3.0.0/24", true);
    let other = network("other", "10.4.0.0/24", false);
    let [both, alone, far] = [(); 3].map(|()| SandboxId::random());
    let mut endpoints = [
        endpoint(&dev, "me", &[], &["10.1.0.2/24"], Some(&both)),
        endpoint(&prod, "me", &[], &["10.2.0.2/24"], Some(&both)),
        endpoint(&closed, "shut", &[], &["10.3.0.2/24"], Some(&alone)),
        endpoint(&dev, "Web", &["www", "WEB"], &["10.1.0.3/24", "fd00::3/64"], Some(&far)),
        endpoint(&dev, "web2", &["www"], &["10.1.0.4/24"], Some(&far)),
        endpoint(&prod, "web", &[], &["10.2.0.3/24"], Some(&far)),
        endpoint(&prod, "db", &[], &["10.2.0.4/24"], Some(&far)),
        endpoint(&dev, "idle", &[], &["10.1.0.9/24"], None),
        endpoint(&other, "secret", &[], &["10.4.0.2/24"], Some(&far)),
        endpoint(&closed, "db", &[], &["10.3.0.3/24"], Some(&far)),
        endpoint(&dev, "lost", &["www", "web3"], &["10.1.0.8/24"], Some(&far)),
    ];
    // They are told in the order of their identifiers.
    for (at, endpoint) in (0..).zip(&mut endpoints) {
        endpoint.id = EndpointId::from_bytes([at; 32]);
    }
    let both = asker(&[
        (&prod, "10.2.0.2", &["db:Sql", "nobody:ghost"]),
        (&dev, "10.1.0.2", &["WEB:sql", "www:own"]),
    ]);
    let alone = asker(&[(&closed, "10.3.0.2", &[])]);
    endpoints[3].exposed = ports(&["80:http", "8080:http", "53/udp"]);
    endpoints[4].exposed = ports(&["80"]);
    endpoints[10].owner.as_mut().expect("attached").host = "gone".parse().expect("a name");
    let directory = directory(&[&dev, &prod, &closed, &other], &endpoints, [both, alone]);
    World { dev, prod, closed, directory }
}

/// A sandbox with an address in each of some networks, and its own names there.
pub(super) fn asker(joined: &[(&Network, &str, &[&str])]) -> Asker {
    let joined = joined.iter().map(|(network, address, aliases)| Joined {
        network: network.id.clone(),
        addresses: vec![ip(address)],
        aliases: aliases.iter().map(|alias| alias.parse().expect("an alias")).collect(),
    });
    Asker { joined: joined.collect(), ..Asker::default() }
}

/// All hosts but `gone` are alive.
pub(super) fn directory(
    networks: &[&Network],
    endpoints: &[Endpoint],
    askers: impl IntoIterator<Item = Asker>,
) -> Directory {
    let zone = |network: &&Network| {
        let own = endpoints.iter().filter(|endpoint| endpoint.network == network.id);
        let own: Vec<Arc<Endpoint>> = own.cloned().map(Arc::new).collect();
        (network.id.clone(), Arc::new(Zone::build(network, &own, |host| host.as_str() == "gone")))
    };
    let mut all = Askers::default();
    for asker in askers {
        all.set(&SandboxId::random(), Some(asker));
    }
    Directory::new(networks.iter().map(zone), all)
}
