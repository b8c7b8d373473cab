//! Sandboxes that ask, and the servers that they ask.

use std::{collections::BTreeSet, fs, net::IpAddr, sync::Arc};

use netctl::{
    discovery::{
        Asker, Askers, Directory, Joined, ListenError, Listener, Servers, Upstreams, Zone,
    },
    model::{
        Endpoint, EndpointId, NamesView, Network, NetworkId, Owner, SCHEMA, Sandbox, SandboxId,
        Subnet,
    },
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::hosts::Namespace;

fn network(name: &str, cidr: &str, internal: bool) -> Network {
    let driver = "overlay".parse().expect("a name");
    Network {
        subnets: vec![Subnet::new(cidr.parse().expect("a subnet"), None, None).expect("usable")],
        internal,
        ..Network::new(NetworkId::random(), name.parse().expect("a name"), driver, 0)
    }
}

fn endpoint(network: &Network, name: &str, address: &str, sandbox: &SandboxId) -> Endpoint {
    Endpoint {
        addresses: vec![address.parse().expect("an address")],
        owner: Some(Owner {
            host: "h1".parse().expect("a name"),
            sandbox: sandbox.clone(),
            vteps: IpAddr::from([192, 0, 2, 1]).into(),
            ports: vec![],
            takes_along: false,
        }),
        ..Endpoint::new(EndpointId::random(), network.id.clone(), name.parse().expect("a name"), 0)
    }
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox {
        schema: SCHEMA,
        id: SandboxId::random(),
        name: "box".parse().expect("a name"),
        netns: "/run/netns/box".into(),
        owned: true,
        host_stack: false,
        foreign: false,
        dns: vec![],
        dns_search: vec![],
        dns_options: vec![],
        hostname: None,
        extra_hosts: vec![],
        sysctls: vec![],
        container: None,
        created: 0,
    }
}

/// The picture above. What is first here is dropped first.
pub(crate) struct Rig {
    servers: Option<Servers>,
    runtime: Option<Runtime>,
    networks: Vec<Network>,
    directory: watch::Sender<Arc<Directory>>,
    /// The sandboxes' own name servers.
    pub(crate) own_servers: Vec<IpAddr>,
    pub(crate) a: Namespace,
    pub(crate) b: Namespace,
    pub(crate) c: Namespace,
    pub(crate) host: Namespace,
    pub(crate) dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let [host, a, b, c] = [(); 4].map(|()| Namespace::new());
        host.join(&a, "nh-a", "10.1.0.1", "10.1.0.2");
        host.join(&b, "nh-b", "10.1.0.1", "10.1.0.2");
        host.join(&c, "nh-c", "10.3.0.1", "10.3.0.2");
        host.sh("for i in 53 54 55 56; do ip addr add 192.0.2.$i/32 dev lo; done");
        // The runtime's threads are in the namespace of the thread that makes it.
        let runtime = host.run(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2).enable_all().build().expect("a runtime")
        });
        let networks = vec![
            network("dev", "10.1.0.0/24", false),
            network("twin", "10.1.0.0/24", false),
            network("closed", "10.3.0.0/24", true),
        ];
        let dir = tempfile::tempdir().expect("a directory");
        let (directory, receiver) = watch::channel(Arc::new(Directory::default()));
        let upstreams = Upstreams::new(dir.path().join("resolv.conf"));
        let servers = Some(Servers::new(runtime.handle().clone(), receiver, upstreams));
        let (runtime, own_servers) = (Some(runtime), vec![]);
        let mut rig =
            Self { servers, runtime, networks, directory, own_servers, a, b, c, host, dir };
        rig.fill();
        let errors = rig.apply(&["nh-a", "nh-b", "nh-c"]);
        assert!(errors.is_empty(), "{errors:?}");
        rig
    }

    pub(crate) fn fill(&self) {
        let [dev, twin, closed] = &self.networks[..] else { unreachable!("three networks") };
        let far = SandboxId::random();
        let mut endpoints = [
            endpoint(dev, "me", "10.1.0.2/24", &SandboxId::random()),
            endpoint(twin, "me", "10.1.0.2/24", &SandboxId::random()),
            endpoint(closed, "me", "10.3.0.2/24", &SandboxId::random()),
            endpoint(dev, "web", "10.1.0.3/24", &far),
            endpoint(twin, "web", "10.1.0.77/24", &far),
            endpoint(twin, "db", "10.1.0.78/24", &far),
        ];
        endpoints[3].exposed = vec!["80:http".parse().expect("a port")];
        let zone = |network: &Network| {
            let own = endpoints.iter().filter(|endpoint| endpoint.network == network.id);
            let own: Vec<Arc<Endpoint>> = own.cloned().map(Arc::new).collect();
            (network.id.clone(), Arc::new(Zone::build(network, &own, |_| false)))
        };
        let asker = |endpoint: &Endpoint| Asker {
            joined: vec![Joined {
                network: endpoint.network.clone(),
                addresses: endpoint.addresses.iter().map(ipnet::IpNet::addr).collect(),
                aliases: vec!["web:front".parse().expect("an alias")],
            }],
            servers: self.own_servers.clone(),
            ..Asker::default()
        };
        let mut askers = Askers::default();
        for endpoint in &endpoints[..3] {
            askers.set(&SandboxId::random(), Some(asker(endpoint)));
        }
        let directory = Directory::new(self.networks.iter().map(zone), askers);
        self.directory.send_replace(Arc::new(directory));
    }

    /// Runs what needs both the host's namespace and the runtime.
    pub(crate) fn on_host<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.runtime.as_ref().expect("it runs").handle().clone();
        self.host.run(move || runtime.block_on(work))
    }

    pub(crate) fn apply(&mut self, devices: &[&str]) -> Vec<ListenError> {
        let places = [("nh-a", 0, "10.1.0.1"), ("nh-b", 1, "10.1.0.1"), ("nh-c", 2, "10.3.0.1")];
        let listeners: BTreeSet<Listener> = places
            .into_iter()
            .filter(|(device, ..)| devices.contains(device))
            .map(|(device, network, address)| Listener {
                network: self.networks[network].id.clone(),
                device: device.to_owned(),
                address: address.parse().expect("an address"),
            })
            .collect();
        let mut servers = self.servers.take().expect("it serves");
        let (servers, errors) = self.on_host(async move {
            let errors = servers.apply(&listeners).await;
            (servers, errors)
        });
        self.servers = Some(servers);
        errors
    }

    /// Writes the host's `resolv.conf`.
    pub(crate) fn name_servers(&self, addresses: &[&str]) {
        let lines: Vec<String> = addresses.iter().map(|a| format!("nameserver {a}\n")).collect();
        let (path, new) = (self.dir.path().join("resolv.conf"), self.dir.path().join("new"));
        fs::write(&new, lines.concat()).and_then(|()| fs::rename(new, path)).expect("written");
    }

    pub(crate) fn counts(&self) -> NamesView {
        self.servers.as_ref().expect("it serves").counters().read()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(servers) = self.servers.take() {
            self.on_host(servers.shutdown());
        }
        drop(self.runtime.take());
    }
}
