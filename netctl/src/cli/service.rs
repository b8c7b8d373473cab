//! `netctl service`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{
    Context, Result,
    output::{ListArgs, each, lines},
    ports,
    table::{Table, fields},
};
use crate::model::{
    AttachSpec, DeviceName, Endpoint, ExposedPort, LinkAlias, MacAddr, Name, PublishedPort,
    ServiceRef, ServiceSpec, ServiceView, Sysctl,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Publish a service on a network and print its id
    Publish(Publish),
    /// Remove services that are not attached
    Unpublish {
        /// Also where they are attached, wherever that is
        #[arg(short, long)]
        force: bool,
        /// Services to remove
        #[arg(required = true, value_name = "SERVICE[.NETWORK]")]
        services: Vec<ServiceRef>,
    },
    /// Attach a service to a sandbox of this host
    Attach {
        /// Take it from where it is attached
        #[arg(short, long)]
        force: bool,
        /// Name for a service of the network that only this sandbox is to have
        #[arg(long = "alias", value_name = "NAME:ALIAS")]
        aliases: Vec<LinkAlias>,
        #[command(flatten)]
        place: Place,
        /// Sandbox by name, id or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        sandbox: String,
        /// Service by name, id or the beginning of its id
        #[arg(value_name = "SERVICE[.NETWORK]")]
        service: ServiceRef,
    },
    /// Detach services from a sandbox of this host
    Detach {
        /// Sandbox by name, id or the beginning of its id
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        sandbox: String,
        /// Services by name, id or the beginning of an id
        #[arg(required = true, value_name = "SERVICE[.NETWORK]")]
        services: Vec<ServiceRef>,
    },
    /// List services
    Ls {
        /// Only those of this network
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        network: Option<String>,
        #[command(flatten)]
        args: ListArgs,
    },
    /// Show all of services, as JSON
    Inspect {
        /// Services to show
        #[arg(required = true, value_name = "SERVICE[.NETWORK]")]
        services: Vec<ServiceRef>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// Further name, which other services of the network may share
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<Name>,
    /// Port that it listens on, for SRV records
    #[arg(long = "expose", value_name = "PORT[/PROTO][:NAME]")]
    exposed: Vec<ExposedPort>,
    #[command(flatten)]
    details: Details,
    /// Tunnel address that it is behind: an external station, such as a vxlan device of a host without netctl
    #[arg(long, value_name = "IP")]
    vtep: Option<IpAddr>,
    /// Name of the service, and the network to publish it on
    #[arg(value_name = "SERVICE.NETWORK")]
    service: ServiceRef,
}

/// What a service may have of its own.
#[derive(Debug, Default, Args)]
pub(super) struct Details {
    /// Port of the host it is attached on that leads to one of its own, or ranges FIRST-LAST of both; a free one of the
    /// host where none is given
    #[arg(short = 'p', long = "publish", value_name = "[[HOST_IP:][HOST_PORT]:]PORT[/PROTO]")]
    ports: Vec<PublishedPort>,
    /// IPv4 address to have; one is chosen where none is given
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address to have; one is chosen where none is given
    #[arg(long, value_name = "IP6")]
    ip6: Option<Ipv6Addr>,
    /// Link-layer address to have; one is chosen where none is given
    #[arg(long, value_name = "MAC")]
    mac: Option<MacAddr>,
    /// Its sandbox bridges onward to stations of its own
    #[arg(long)]
    bridging: bool,
}

impl Details {
    /// Whether any is given.
    pub(super) fn given(&self) -> bool {
        let Self { ports, ip, ip6, mac, bridging } = self;
        !ports.is_empty() || ip.is_some() || ip6.is_some() || mac.is_some() || *bridging
    }

    /// The service with these.
    pub(super) fn of(self, service: ServiceRef) -> ServiceSpec {
        let Self { ports, ip, ip6, mac, bridging } = self;
        ServiceSpec { ports, address: ip, address6: ip6, mac, bridging, ..ServiceSpec::of(service) }
    }
}

/// What a service may have of its own in its sandbox.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Of the sandbox's networks with a way out, that with the highest has the default route, or else the first by name
    #[arg(long, value_name = "NUMBER", default_value_t, allow_negative_numbers = true)]
    gw_priority: i32,
    /// Name of its interface there; eth and the first free number where none is given
    #[arg(long, value_name = "NAME")]
    ifname: Option<DeviceName>,
    /// Setting of its interface there, such as `net.ipv4.conf.IFNAME.rp_filter=0`
    #[arg(long = "sysctl", value_name = "NAME=VALUE")]
    sysctls: Vec<Sysctl>,
}

impl Place {
    /// How it is attached to this sandbox.
    pub(super) fn of(self, sandbox: String) -> AttachSpec {
        let Self { gw_priority, ifname, sysctls } = self;
        AttachSpec { gw_priority, device: ifname, sysctls, ..AttachSpec::to(sandbox) }
    }
}

impl From<Publish> for ServiceSpec {
    fn from(Publish { aliases, exposed, details, vtep, service }: Publish) -> Self {
        Self { aliases, exposed, vtep, ..details.of(service) }
    }
}

impl Command {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        match self {
            Self::Publish(publish) => {
                let made = client.publish(&publish.into()).await?;
                output.show(&made, |made| format!("{}\n", made.endpoint.id))
            }
            Self::Unpublish { force, services } => {
                let remove = |service| async move { client.unpublish(&service, force).await };
                let (removed, outcome) = each(&services, remove).await;
                let code = output.show(&*removed, names)?;
                outcome.map(|()| code)
            }
            Self::Attach { force, aliases, place, sandbox, service } => {
                let spec = AttachSpec { force, aliases, ..place.of(sandbox) };
                let attached = client.attach(&service, &spec).await?;
                output.show(&attached, |view| format!("{}\n", view.qualified()))
            }
            Self::Detach { sandbox, services } => {
                let sandbox = sandbox.as_str();
                let detach = |service| async move { client.detach(sandbox, &service).await };
                let (detached, outcome) = each(&services, detach).await;
                let code = output.show(&*detached, names)?;
                outcome.map(|()| code)
            }
            Self::Ls { network, args } => {
                let services = client.services(network.as_deref()).await?;
                output.list(&args, &services, |s| s.endpoint.id.as_str(), table)
            }
            Self::Inspect { services } => {
                let show = |service| async move { client.service(&service).await };
                let (found, outcome) = each(&services, show).await;
                let code = output.inspect(&found, text)?;
                outcome.map(|()| code)
            }
        }
    }
}

/// A service in one line: its name and its addresses.
pub(super) fn line(ServiceView { endpoint, .. }: &ServiceView) -> String {
    let addresses = endpoint.addresses.iter().map(|address| format!(" {address}"));
    format!("{}{}", endpoint.name, addresses.collect::<String>())
}

fn names(services: &[ServiceView]) -> String {
    lines(services.iter().map(ServiceView::qualified))
}

fn table(args: &ListArgs, services: &[ServiceView]) -> Table {
    let mut table =
        Table::new(["SERVICE ID", "NAME", "NETWORK", "ADDRESS", "PORTS", "HOST", "SANDBOX"]);
    for ServiceView { endpoint, network_name, .. } in services {
        let owner = endpoint.owner.as_ref();
        table.row([
            args.id(endpoint.id.as_str()),
            endpoint.name.to_string(),
            network_name.to_string(),
            endpoint.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            ports::shown(endpoint).join(","),
            place(endpoint),
            owner.map(|owner| args.id(owner.sandbox.as_str())).unwrap_or_default(),
        ]);
    }
    table
}

/// The host that it is attached on, or the tunnel address that it is a station behind.
fn place(endpoint: &Endpoint) -> String {
    let host = endpoint.owner.as_ref().map(|owner| owner.host.to_string());
    host.or_else(|| endpoint.vtep.map(|vtep| vtep.to_string())).unwrap_or_default()
}

fn text(ServiceView { endpoint, network_name, plugin_info }: &ServiceView) -> String {
    let mut lines = vec![
        ("Service", endpoint.name.to_string()),
        ("Id", endpoint.id.to_string()),
        ("Network", network_name.to_string()),
    ];
    lines.extend(endpoint.aliases.iter().map(|alias| ("Alias", alias.to_string())));
    lines.extend(endpoint.exposed.iter().map(|port| ("Exposed", port.to_string())));
    lines.extend(endpoint.ports.iter().map(|port| ("Published", port.to_string())));
    lines.extend(endpoint.mac.map(|mac| ("MAC", mac.to_string())));
    lines.extend(endpoint.addresses.iter().map(|address| ("Address", address.to_string())));
    lines.extend(endpoint.bridging.then(|| ("Bridging", "yes".to_owned())));
    lines.extend(endpoint.vtep.map(|vtep| ("Station at", vtep.to_string())));
    lines.extend(endpoint.container.iter().map(|container| ("Container", container.to_string())));
    if let Some(owner) = &endpoint.owner {
        lines.push(("Host", owner.host.to_string()));
        lines.push(("Sandbox", owner.sandbox.to_string()));
        lines.extend(owner.vteps.iter().map(|vtep| ("VTEP", vtep.to_string())));
        lines.extend(ports::folded(&owner.ports).into_iter().map(|port| ("Bound", port)));
    }
    lines.extend(plugin_info.iter().map(|(name, value)| ("Plugin", format!("{name}={value}"))));
    fields(lines)
}
