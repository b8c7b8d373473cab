//! `netctl network`.

mod connect;
mod filter;
mod prune;

use std::{net::IpAddr, str::FromStr};

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use ipnet::IpNet;

use self::filter::Filter;
use super::{
    Context, Result,
    output::{ListArgs, each, lines},
    pair::{self, Pair},
    service,
    table::Table,
};
use crate::model::{DriverName, Name, NameError, NetworkSpec, NetworkView, RangeSpec, Subnet};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a network and print its id
    Create(Box<Create>),
    /// List the networks of the cluster and of this host
    Ls {
        /// Those that are on other hosts alone, too
        #[arg(short, long)]
        all: bool,
        /// Only networks of which this is true: name=PART, id=BEGINNING, driver=NAME, label=KEY[=VALUE], internal=yes|no
        #[arg(short, long = "filter", value_name = "WHAT=VALUE")]
        filters: Vec<Filter>,
        #[command(flatten)]
        args: ListArgs,
    },
    /// Show all of networks, with their services, as JSON
    Inspect {
        #[command(flatten)]
        networks: Networks,
    },
    /// Remove networks that have no services
    Rm {
        #[command(flatten)]
        networks: Networks,
    },
    /// Remove all networks that have no services
    Prune(prune::Args),
    /// Connect a sandbox of this host to a network, as a service with the sandbox's name
    Connect(Box<connect::Connect>),
    /// Take a sandbox of this host off a network
    Disconnect(connect::Disconnect),
}

#[derive(Debug, Args)]
pub(super) struct Networks {
    /// Networks by name, id or the beginning of an id
    #[arg(required = true, value_name = "NETWORK", value_parser = NonEmptyStringValueParser::new())]
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Driver: bridge, host, null, overlay [default: overlay]
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<DriverName>,
    /// Subnet of its addresses, of IPv4 or IPv6; a free one of IPv4 is chosen where none is given
    #[arg(long = "subnet", value_name = "CIDR")]
    subnets: Vec<IpNet>,
    /// IPv4 and IPv6: a free subnet is chosen for the family that none is given of
    #[arg(long)]
    ipv6: bool,
    /// Part of a subnet to hand out addresses from, to all or to what is published on a host
    #[arg(long = "ip-range", value_name = "[HOST=]CIDR")]
    ip_ranges: Vec<RangeSpec>,
    /// Address of a subnet's gateway; the subnet's first where none is given
    #[arg(long = "gateway", value_name = "IP")]
    gateways: Vec<IpAddr>,
    /// Address in a subnet that is somebody else's and never handed out, and what it is called
    #[arg(long = "aux-address", value_name = "NAME=IP")]
    aux_addresses: Vec<Aux>,
    /// Plugin that gives the addresses; netctl does where none is given
    #[arg(long, value_name = "DRIVER")]
    ipam_driver: Option<DriverName>,
    /// How addresses are chosen: choice=serial, the next behind the last, or choice=random [default: choice=serial];
    /// or an option for the plugin
    #[arg(long = "ipam-opt", value_name = "KEY=VALUE")]
    ipam_options: Vec<Pair>,
    /// No way out, and no names from outside
    #[arg(long)]
    internal: bool,
    /// Option for the driver
    #[arg(short = 'o', long = "opt", value_name = "KEY=VALUE")]
    options: Vec<Pair>,
    /// Note for people and programs
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Pair>,
    /// Name of the network
    name: Name,
}

/// One `NAME=IP`.
#[derive(Clone, Debug)]
struct Aux {
    name: Name,
    address: IpAddr,
}

impl FromStr for Aux {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("expected NAME=IP")?;
        let name = name.parse().map_err(|error: NameError| error.to_string())?;
        let address = address.parse().map_err(|_error| format!("{address:?} is no IP address"))?;
        Ok(Self { name, address })
    }
}

impl From<Create> for NetworkSpec {
    fn from(create: Create) -> Self {
        Self {
            name: create.name,
            driver: create.driver,
            subnets: create.subnets,
            ipv6: create.ipv6,
            ip_ranges: create.ip_ranges,
            gateways: create.gateways,
            aux_addresses: create
                .aux_addresses
                .into_iter()
                .map(|aux| (aux.name, aux.address))
                .collect(),
            ipam_driver: create.ipam_driver,
            ipam_options: pair::collect(create.ipam_options),
            internal: create.internal,
            options: pair::collect(create.options),
            labels: pair::collect(create.labels),
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result {
        let Context { client, output } = context;
        match self {
            Self::Create(create) => {
                let made = client.create_network(&(*create).into()).await?;
                output.show(&made, |made| format!("{}\n", made.network.id))
            }
            Self::Ls { all, filters, args } => {
                let mut networks = client.networks(all).await?;
                networks.retain(|view| filters.iter().all(|filter| filter.takes(&view.network)));
                output.list(&args, &networks, |n| n.network.id.as_str(), table)
            }
            Self::Inspect { networks } => {
                let (found, outcome) =
                    each(&networks.names, |name| async move { client.network(&name).await }).await;
                let code = output.inspect(&found, text)?;
                outcome.map(|()| code)
            }
            Self::Rm { networks } => {
                let remove = |name: String| async move { client.remove_network(&name).await };
                let (removed, outcome) = each(&networks.names, remove).await;
                let code = output.show(&*removed, names)?;
                outcome.map(|()| code)
            }
            Self::Prune(args) => args.run(context).await,
            Self::Connect(connect) => connect.run(context).await,
            Self::Disconnect(disconnect) => disconnect.run(context).await,
        }
    }
}

fn names(networks: &[NetworkView]) -> String {
    lines(networks.iter().map(|view| &view.network.name))
}

fn table(args: &ListArgs, networks: &[NetworkView]) -> Table {
    let mut table =
        Table::new(["NETWORK ID", "NAME", "DRIVER", "SUBNET", "VNI", "INTERNAL", "HOST"]);
    for NetworkView { network, .. } in networks {
        table.row([
            args.id(network.id.as_str()),
            network.name.to_string(),
            network.driver.to_string(),
            network.subnets.iter().map(|s| s.cidr.to_string()).collect::<Vec<_>>().join(","),
            network.vni.map(|vni| vni.to_string()).unwrap_or_default(),
            if network.internal { "yes" } else { "no" }.to_owned(),
            network.host.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
        ]);
    }
    table
}

fn text(view: &NetworkView) -> String {
    let NetworkView { network, services } = view;
    let mut fields = vec![
        ("Network", network.name.to_string()),
        ("Id", network.id.to_string()),
        ("Driver", network.driver.to_string()),
    ];
    fields.extend(network.host.iter().map(|host| ("Host", host.to_string())));
    fields.extend(network.subnets.iter().map(|subnet| ("Subnet", subnet_text(subnet))));
    fields.extend(network.vni.map(|vni| ("VNI", vni.to_string())));
    fields.extend(network.gateway_mac.map(|mac| ("Gateway MAC", mac.to_string())));
    for (name, address) in network.subnets.iter().flat_map(|subnet| &subnet.aux) {
        fields.push(("Aux address", format!("{name}={address}")));
    }
    let lease = network.lease.iter();
    fields.extend(lease.map(|lease| ("IPAM driver", lease.driver.to_string())));
    let ipam = network.ipam_options.iter();
    fields.extend(ipam.map(|(key, value)| ("IPAM option", format!("{key}={value}"))));
    fields.push(("Internal", if network.internal { "yes" } else { "no" }.to_owned()));
    fields.extend(network.options.iter().map(|(key, value)| ("Option", format!("{key}={value}"))));
    fields.extend(network.labels.iter().map(|(key, value)| ("Label", format!("{key}={value}"))));
    fields.extend(services.iter().map(|service| ("Service", service::line(service))));
    super::table::fields(fields)
}

fn subnet_text(subnet: &Subnet) -> String {
    let range = subnet.range.map(|range| format!(" range {range}")).unwrap_or_default();
    let hosts = subnet.host_ranges.iter().map(|(host, range)| format!(" range {host}={range}"));
    format!("{} gateway {}{range}{}", subnet.cidr, subnet.gateway, hosts.collect::<String>())
}
