//! What the hosts have.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use netctl::{
    controller::{endpoint_entries, host_entry, network_entries},
    ipam::derived_mac,
    model::{
        Endpoint, EndpointId, Host, HostId, HostName, MacAddr, Network, NetworkId, Owner, SCHEMA,
        SandboxId, Subnet, UnixTime, Vni, Vteps,
    },
    store::{LeaseId, MAX_OPS, Op, Outcome, SharedStore, Txn},
};

use crate::LEASE;

/// How many transactions are under way at once while all is written.
const WRITERS: usize = 8;
/// The first network's VNI.
const FIRST_VNI: u32 = 10_000;
/// The first endpoints' last digits; before them is room for those of real hosts.
const FIRST_ADDRESS: usize = 1024;
/// When all of it was made, in seconds since 1970.
const CREATED: UnixTime = 1_700_000_000;

/// What other hosts should know of endpoints: by VNI and MAC, behind which tunnel address.
pub(crate) type Expected = BTreeMap<(u32, MacAddr), IpAddr>;

pub(crate) struct Cluster {
    hosts: Vec<Host>,
    networks: Vec<Network>,
    /// Of each network.
    endpoints: Vec<Vec<Endpoint>>,
    /// For choices: always the same ones.
    random: u64,
    /// How many endpoints each network ever had.
    published: Vec<usize>,
}

/// One transaction, and where an endpoint is after it; nowhere where it is gone.
pub(crate) struct Change {
    pub(crate) what: &'static str,
    pub(crate) key: (u32, MacAddr),
    pub(crate) at: Option<IpAddr>,
    txn: Txn,
}

impl Cluster {
    pub(crate) fn new(hosts: usize, networks: usize, endpoints: usize) -> Result<Self> {
        ensure!((2..=10_000).contains(&hosts), "{hosts} hosts");
        ensure!((1..=250).contains(&networks), "{networks} networks");
        ensure!(endpoints / networks < 60_000, "too many endpoints for a network");
        let hosts = (0..hosts).map(host).collect::<Result<Vec<_>>>()?;
        let networks = (0..networks).map(network).collect::<Result<Vec<_>>>()?;
        let mut cluster = Self {
            endpoints: vec![Vec::new(); networks.len()],
            published: vec![0; networks.len()],
            hosts,
            networks,
            random: 0x5eed,
        };
        for number in 0..endpoints {
            let place = number % cluster.networks.len();
            let endpoint = cluster.endpoint(place)?;
            cluster.endpoints[place].push(endpoint);
        }
        Ok(cluster)
    }

    /// Writes all of it, and gives the hosts' leases.
    pub(crate) async fn write(&self, store: &SharedStore) -> Result<Vec<LeaseId>> {
        let mut leases = Vec::new();
        for host in &self.hosts {
            let (key, value) = host_entry(host);
            let lease = store.grant(LEASE.0).await?;
            store.commit(Txn::new().put_leased(key, value, lease)).await?;
            leases.push(lease);
        }
        let networks = self.networks.iter().flat_map(network_entries);
        let endpoints = self.endpoints.iter().flatten().flat_map(endpoint_entries);
        let ops = networks.chain(endpoints).map(|(key, value)| Op::Put { key, value, lease: None });
        let ops: Vec<Op> = ops.collect();
        let share = ops.len().div_ceil(WRITERS).next_multiple_of(MAX_OPS);
        let mut writing = Vec::new();
        for ops in ops.chunks(share).map(<[Op]>::to_vec) {
            let store = Arc::clone(store);
            writing.push(tokio::spawn(async move {
                for ops in ops.chunks(MAX_OPS) {
                    store.commit(Txn { guards: Vec::new(), ops: ops.to_vec() }).await?;
                }
                Ok::<_, anyhow::Error>(())
            }));
        }
        for writer in writing {
            writer.await??;
        }
        Ok(leases)
    }

    /// Where the endpoints of the first networks are.
    pub(crate) fn expected(&self, local: usize) -> Expected {
        let endpoints = self.endpoints.iter().take(local).flatten();
        endpoints.filter_map(|endpoint| Some((self.key(endpoint)?, tunnel(endpoint)?))).collect()
    }

    /// An endpoint of one of the first networks moves to another host.
    pub(crate) fn movement(&mut self, local: usize) -> Change {
        let network = self.choose(local.min(self.networks.len()));
        let place = self.choose(self.endpoints[network].len());
        let owner = self.owner();
        let endpoint = &mut self.endpoints[network][place];
        let before = keys(endpoint);
        endpoint.owner = Some(owner);
        let endpoint = &self.endpoints[network][place];
        self.change("moved", Some(endpoint), &before)
    }

    /// An endpoint of one of the first networks is published and attached.
    pub(crate) fn publication(&mut self, local: usize) -> Result<Change> {
        let network = self.choose(local.min(self.networks.len()));
        let endpoint = self.endpoint(network)?;
        let change = self.change("published", Some(&endpoint), &[]);
        self.endpoints[network].push(endpoint);
        Ok(change)
    }

    /// An endpoint of one of the first networks goes.
    pub(crate) fn removal(&mut self, local: usize) -> Change {
        let network = self.choose(local.min(self.networks.len()));
        let place = self.choose(self.endpoints[network].len());
        let endpoint = self.endpoints[network].swap_remove(place);
        let (key, before) = (self.key(&endpoint), keys(&endpoint));
        Change { key: key.unwrap_or_default(), ..self.change("removed", None, &before) }
    }

    pub(crate) async fn commit(&self, store: &SharedStore, change: Change) -> Result<()> {
        let outcome = store.commit(change.txn).await?;
        ensure!(matches!(outcome, Outcome::Committed(_)), "a change without guards had a conflict");
        Ok(())
    }

    /// What leads from the keys `before` to those of an endpoint.
    fn change(&self, what: &'static str, endpoint: Option<&Endpoint>, before: &[String]) -> Change {
        let entries = endpoint.map(endpoint_entries).unwrap_or_default();
        let gone = before.iter().filter(|key| entries.iter().all(|(other, _)| other != *key));
        let txn = gone.fold(Txn::new(), |txn, key| txn.delete(key.clone()));
        let key = endpoint.and_then(|endpoint| self.key(endpoint)).unwrap_or_default();
        let at = endpoint.and_then(tunnel);
        let txn = entries.into_iter().fold(txn, |txn, (key, value)| txn.put(key, value));
        Change { what, key, at, txn }
    }

    fn key(&self, endpoint: &Endpoint) -> Option<(u32, MacAddr)> {
        let network = self.networks.iter().find(|network| network.id == endpoint.network)?;
        Some((network.vni?.get(), endpoint.mac?))
    }

    /// Another endpoint of a network, attached on some host.
    fn endpoint(&mut self, place: usize) -> Result<Endpoint> {
        let number = self.published[place];
        self.published[place] += 1;
        let owner = self.owner();
        let network = &self.networks[place];
        let subnet = network.subnets.first().context("no subnet")?.cidr;
        let offset = FIRST_ADDRESS + number;
        let IpAddr::V4(first) = subnet.network() else { anyhow::bail!("{subnet} is not of IPv4") };
        let address = IpAddr::V4((u32::from(first) + u32::try_from(offset)?).into());
        let name = format!("service-{number}").parse()?;
        Ok(Endpoint {
            mac: Some(derived_mac(address)),
            addresses: vec![ipnet::IpNet::new(address, subnet.prefix_len())?],
            owner: Some(owner),
            ..Endpoint::new(EndpointId::random(), network.id.clone(), name, CREATED)
        })
    }

    fn owner(&mut self) -> Owner {
        let place = self.choose(self.hosts.len());
        let Host { name, vteps, .. } = &self.hosts[place];
        Owner {
            host: name.clone(),
            sandbox: SandboxId::random(),
            vteps: *vteps,
            ports: Vec::new(),
            takes_along: true,
        }
    }

    /// A number below `count`, by xorshift.
    fn choose(&mut self, count: usize) -> usize {
        for shift in [13_i32, -7, 17] {
            let moved =
                if shift > 0 { self.random << shift } else { self.random >> shift.unsigned_abs() };
            self.random ^= moved;
        }
        usize::try_from(self.random >> 33).unwrap_or_default() % count
    }
}

fn keys(endpoint: &Endpoint) -> Vec<String> {
    endpoint_entries(endpoint).into_iter().map(|(key, _)| key).collect()
}

fn tunnel(endpoint: &Endpoint) -> Option<IpAddr> {
    endpoint.vteps()?.v4().map(IpAddr::V4)
}

fn host(number: usize) -> Result<Host> {
    let last = u16::try_from(number + 1)?.to_be_bytes();
    Ok(Host {
        schema: SCHEMA,
        id: HostId::random(),
        name: format!("fleet-{number:05}").parse::<HostName>()?,
        vteps: Vteps::new(Some(Ipv4Addr::new(100, 64, last[0], last[1])), None)
            .context("no tunnel address")?,
        vxlan_port: 4789,
        mtu: 1500,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: CREATED,
    })
}

fn network(number: usize) -> Result<Network> {
    let subnet = format!("10.{}.0.0/16", number + 1).parse()?;
    let subnet = Subnet::new(subnet, None, None)?;
    let (name, driver) = (format!("fleet{number}").parse()?, "overlay".parse()?);
    Ok(Network {
        vni: Vni::new(FIRST_VNI + u32::try_from(number)?),
        gateway_mac: Some(derived_mac(subnet.gateway)),
        subnets: vec![subnet],
        ..Network::new(NetworkId::random(), name, driver, CREATED)
    })
}
