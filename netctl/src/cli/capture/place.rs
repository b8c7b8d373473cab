//! Where packets are captured, and what is called how there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::Args;
use crate::{
    api::{Client, client},
    cli::{Error, Result},
    controller::Kind,
    kernel::{Link, Netlink, Netns},
    model::{
        FdbView, GATEWAY, HostName, InterfaceView, Name, SandboxView, ServiceRef, ServiceView,
        StatusView,
    },
    observe::capture::{Filter, Interface, Point, Tunnelled},
};

/// Who has which address.
pub(super) type Names = BTreeMap<IpAddr, String>;

/// Where, and how.
pub(super) struct Place {
    pub(super) host: HostName,
    pub(super) points: Vec<Point>,
    pub(super) filter: Filter,
    pub(super) names: Names,
}

impl Place {
    /// Finds what was asked for on the daemon's host.
    pub(super) async fn find(client: &Client, args: &Args, filter: Filter) -> Result<Self> {
        let status = client.status().await?;
        if let Some(network) = &args.network {
            known(client.network(network.as_str()).await.map(drop))?;
        }
        let names = names(client, args).await?;
        let (points, filter) = if args.outer {
            let filter = filter.within(tunnelled(client, args, &status).await?);
            (vec![underlay(&status, &filter)?], filter)
        } else {
            (inside(client, args, &status, &filter).await?, filter)
        };
        Ok(Self { host: status.host, points, filter, names })
    }
}

/// What the store does not say now is not held against anybody.
fn known(found: client::Result<()>) -> client::Result<()> {
    match found {
        Err(client::Error::Failed(error)) if error.kind == Kind::Unavailable => Ok(()),
        found => found,
    }
}

/// Who has which address, in the networks that packets are of. An address that means several is left out.
async fn names(client: &Client, args: &Args) -> Result<Names> {
    let network = args.network.as_ref().map(Name::as_str);
    let network = network.or(args
        .service
        .as_ref()
        .and_then(|service| service.network.as_ref())
        .map(Name::as_str));
    let mut all: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    let mut add = |address, name: String| {
        all.entry(address).or_default().insert(name);
    };
    match client.services(network).await {
        Ok(services) => {
            for ServiceView { endpoint, network_name, .. } in services {
                for address in &endpoint.addresses {
                    add(address.addr(), format!("{}.{network_name}", endpoint.name));
                }
            }
        }
        Err(error) => known(Err(error))?,
    }
    match client.networks(false).await {
        Ok(networks) => {
            for view in networks {
                let view = view.network;
                if network.is_none_or(|network| network == view.name.as_str()) {
                    for subnet in view.subnets {
                        add(subnet.gateway, format!("{GATEWAY}.{}", view.name));
                    }
                }
            }
        }
        Err(error) => known(Err(error))?,
    }
    if args.outer {
        for view in client.hosts().await.unwrap_or_default() {
            for vtep in view.host.vteps.iter() {
                add(vtep, view.host.name.to_string());
            }
        }
    }
    let only = |(address, names): (IpAddr, BTreeSet<String>)| {
        let mut names = names.into_iter();
        let first = names.next()?;
        names.next().is_none().then_some((address, first))
    };
    Ok(all.into_iter().filter_map(only).collect())
}

/// The interfaces of endpoints, and of gateways where it is about more than one endpoint.
async fn inside(
    client: &Client,
    args: &Args,
    status: &StatusView,
    filter: &Filter,
) -> Result<Vec<Point>> {
    let sandboxes = match &args.sandbox {
        Some(sandbox) => vec![client.sandbox(sandbox).await?],
        None => client.sandboxes().await?,
    };
    let wanted = |interface: &InterfaceView| {
        args.network.as_ref().is_none_or(|network| interface.network == *network)
            && args.service.as_ref().is_none_or(|service| is(service, interface))
    };
    let mut points = Vec::new();
    for sandbox in &sandboxes {
        let interfaces: Vec<&InterfaceView> =
            sandbox.interfaces.iter().filter(|interface| wanted(interface)).collect();
        if !interfaces.is_empty() {
            points.append(&mut within(sandbox, &interfaces, status, filter).await?);
        }
    }
    if let Some(service) = &args.service
        && points.is_empty()
    {
        return Err(absent(client, service, status).await?);
    }
    if args.sandbox.is_none() && args.service.is_none() {
        points.append(&mut gateways(client, args, status, filter).await?);
    }
    if points.is_empty() {
        let what = match (&args.sandbox, &args.network) {
            (Some(sandbox), _) => format!("sandbox {sandbox} has no interface of netctl's"),
            (_, Some(network)) => {
                format!("network {network} has no interface on host {}", status.host)
            }
            (None, None) => format!("host {} has no endpoints", status.host),
        };
        return Err(Error::NoPlace(format!("{what}, so there is nothing to capture")));
    }
    Ok(points)
}

fn is(service: &ServiceRef, interface: &InterfaceView) -> bool {
    service.service == interface.service
        && service.network.as_ref().is_none_or(|network| *network == interface.network)
}

/// Why a service has no interface here.
async fn absent(client: &Client, service: &ServiceRef, status: &StatusView) -> Result<Error> {
    let found = client.service(service).await?;
    Ok(Error::NoPlace(match found.endpoint.owner {
        Some(owner) if owner.host != status.host => {
            format!("service {service} is attached on host {}, not here: capture there", owner.host)
        }
        Some(_) => format!("service {service} has no interface of netctl's"),
        None => format!("service {service} is not attached: `netctl service attach` does that"),
    }))
}

/// The interfaces of one sandbox.
async fn within(
    sandbox: &SandboxView,
    interfaces: &[&InterfaceView],
    status: &StatusView,
    filter: &Filter,
) -> Result<Vec<Point>> {
    if sandbox.sandbox.host_stack {
        return Ok(Vec::new());
    }
    let netns = Netns::open(&sandbox.sandbox.netns)?;
    let links = Netlink::open(&netns).await?.links().await?;
    let point = |interface: &&InterfaceView| {
        let device = device(interface, &links)?;
        let description =
            format!("{device} in sandbox {} on host {}", sandbox.sandbox.name, status.host);
        let interface = said(interface.qualified(), description, filter);
        Some(Point { netns: netns.clone(), device, interface })
    };
    Ok(interfaces.iter().filter_map(point).collect())
}

/// What an interface is called where it is now: who runs the container may have given it another name.
fn device(interface: &InterfaceView, links: &[Link]) -> Option<String> {
    let named = |link: &&Link| Some(&link.name) == interface.device.as_ref();
    let is = |link: &&Link| interface.mac.is_some() && link.mac == interface.mac;
    let found = links
        .iter()
        .find(|link| named(link) && is(link))
        .or_else(|| links.iter().find(is))
        .or_else(|| links.iter().find(named));
    found.map(|link| link.name.clone())
}

/// The host's own interfaces in networks.
async fn gateways(
    client: &Client,
    args: &Args,
    status: &StatusView,
    filter: &Filter,
) -> Result<Vec<Point>> {
    let netns = Netns::current()?;
    let point = |view: FdbView| {
        let network = view.network?;
        let is_gateway = view.service.as_deref() == Some(GATEWAY) && view.mac.is_some();
        let wanted = args.network.as_ref().is_none_or(|wanted| network == *wanted);
        let device = view.device.filter(|_| is_gateway && wanted)?;
        let description = format!("{device} on host {}", status.host);
        let interface = said(format!("{GATEWAY}.{network}"), description, filter);
        Some(Point { netns: netns.clone(), device, interface })
    };
    Ok(client.fdb().await?.into_iter().filter_map(point).collect())
}

/// What is captured on the underlay.
async fn tunnelled(client: &Client, args: &Args, status: &StatusView) -> Result<Tunnelled> {
    let all = Tunnelled { port: status.vxlan_port, vni: None, station: None };
    let (network, station) = if let Some(service) = &args.service {
        let found = client.service(service).await?;
        (found.network_name, found.endpoint.mac)
    } else if let Some(network) = &args.network {
        (network.clone(), None)
    } else {
        return Ok(all);
    };
    let found = client.network(network.as_str()).await?.network;
    let Some(vni) = found.vni else {
        let why = format!("network {network} has no tunnels: its driver is {}", found.driver);
        return Err(Error::NoPlace(why));
    };
    Ok(Tunnelled { vni: Some(vni), station, ..all })
}

fn underlay(status: &StatusView, filter: &Filter) -> Result<Point> {
    let device = status.underlay.clone();
    let description =
        format!("underlay of host {}, VXLAN on UDP port {}", status.host, status.vxlan_port);
    let interface = said(device.clone(), description, filter);
    Ok(Point { netns: Netns::current()?, device, interface })
}

fn said(name: String, description: String, filter: &Filter) -> Interface {
    let Filter { expression, snaplen } = filter.clone();
    Interface { name, description, filter: expression, snaplen }
}
