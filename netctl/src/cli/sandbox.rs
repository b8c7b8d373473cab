//! `netctl sandbox`.

use std::{io, net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};

use super::{
    Context, Result,
    output::{ListArgs, each, lines},
    ports,
    table::{Table, fields},
};
use crate::model::{
    HostEntry, HostName, InterfaceView, Name, ResolverOption, SandboxSpec, SandboxView,
    SearchDomain, Sysctl,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a sandbox and print its id
    Create(Create),
    /// List the sandboxes of this host
    Ls(ListArgs),
    /// Show all of sandboxes, with their interfaces, as JSON
    Inspect {
        #[command(flatten)]
        sandboxes: Sandboxes,
    },
    /// Remove sandboxes with the services that were published for them, and detach all others
    Rm {
        #[command(flatten)]
        sandboxes: Sandboxes,
    },
}

#[derive(Debug, Args)]
pub(super) struct Sandboxes {
    /// Sandboxes by name, id or the beginning of an id
    #[arg(required = true, value_name = "SANDBOX", value_parser = NonEmptyStringValueParser::new())]
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Existing network namespace to use in place of a new one
    #[arg(long, value_name = "PATH", value_parser = absolute)]
    netns: Option<PathBuf>,
    /// Process whose network namespace to use in place of a new one
    #[arg(long, value_name = "PID", conflicts_with = "netns")]
    pid: Option<u32>,
    /// This host's own network stack, for services on a network of driver host
    #[arg(long, conflicts_with_all = ["netns", "pid"])]
    host: bool,
    #[command(flatten)]
    setup: Setup,
    /// Name of the sandbox; its short id where none is given
    name: Option<Name>,
}

/// What a sandbox may have of its own.
#[derive(Debug, Default, Args)]
pub(super) struct Setup {
    /// Name server to ask for names from outside, in place of the host's
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// Domain to look for names in, in place of the host's; `.` for none
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<SearchDomain>,
    /// Option of resolv.conf(5), such as ndots:1
    #[arg(long = "dns-opt", alias = "dns-option", value_name = "OPTION")]
    dns_options: Vec<ResolverOption>,
    /// Host name that its processes see; the host's own where none is given
    #[arg(long, value_name = "NAME")]
    hostname: Option<HostName>,
    /// Further line for its /etc/hosts
    #[arg(long = "add-host", value_name = "NAME:IP")]
    extra_hosts: Vec<HostEntry>,
    /// Setting of its network stack, such as `net.ipv4.ip_forward=1`
    #[arg(long = "sysctl", value_name = "NAME=VALUE")]
    sysctls: Vec<Sysctl>,
}

impl Setup {
    /// A sandbox with these.
    pub(super) fn of(self, name: Option<Name>) -> SandboxSpec {
        let Self { dns, dns_search, dns_options, hostname, extra_hosts, sysctls } = self;
        SandboxSpec {
            name,
            dns,
            dns_search,
            dns_options,
            hostname,
            extra_hosts,
            sysctls,
            ..SandboxSpec::default()
        }
    }
}

/// The daemon works in another directory than the caller.
fn absolute(path: &str) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

impl Command {
    pub(super) async fn run(self, Context { client, output }: &Context) -> Result {
        match self {
            Self::Create(Create { netns, pid, host, setup, name }) => {
                let spec = SandboxSpec { netns, pid, host_stack: host, ..setup.of(name) };
                let made = client.create_sandbox(&spec).await?;
                output.show(&made, |made| format!("{}\n", made.sandbox.id))
            }
            Self::Ls(args) => {
                output.list(&args, &client.sandboxes().await?, |s| s.sandbox.id.as_str(), table)
            }
            Self::Inspect { sandboxes } => {
                let (found, outcome) =
                    each(&sandboxes.names, |name| async move { client.sandbox(&name).await }).await;
                let code = output.inspect(&found, text)?;
                outcome.map(|()| code)
            }
            Self::Rm { sandboxes } => {
                let remove = |name: String| async move { client.remove_sandbox(&name).await };
                let (removed, outcome) = each(&sandboxes.names, remove).await;
                let code = output.show(&*removed, names)?;
                outcome.map(|()| code)
            }
        }
    }
}

fn names(sandboxes: &[SandboxView]) -> String {
    lines(sandboxes.iter().map(|view| &view.sandbox.name))
}

fn table(args: &ListArgs, sandboxes: &[SandboxView]) -> Table {
    let mut table = Table::new(["SANDBOX ID", "NAME", "SERVICES", "ADDRESSES"]);
    for SandboxView { sandbox, interfaces, .. } in sandboxes {
        let services = interfaces.iter().map(InterfaceView::qualified);
        let addresses = interfaces.iter().flat_map(|i| &i.addresses).map(ToString::to_string);
        table.row([
            args.id(sandbox.id.as_str()),
            sandbox.name.to_string(),
            services.collect::<Vec<_>>().join(","),
            addresses.collect::<Vec<_>>().join(","),
        ]);
    }
    table
}

fn text(view: &SandboxView) -> String {
    let sandbox = &view.sandbox;
    let mut shown = vec![
        ("Sandbox", sandbox.name.to_string()),
        ("Id", sandbox.id.to_string()),
        ("Host", view.host.to_string()),
        ("Namespace", sandbox.netns.display().to_string()),
        ("resolv.conf", view.resolv_conf.display().to_string()),
        ("hosts", view.hosts.display().to_string()),
    ];
    shown.extend(sandbox.container.iter().map(|container| ("Container", container.to_string())));
    shown.extend(sandbox.dns.iter().map(|server| ("DNS", server.to_string())));
    shown.extend(sandbox.dns_search.iter().map(|domain| ("DNS search", domain.to_string())));
    shown.extend(sandbox.dns_options.iter().map(|option| ("DNS option", option.to_string())));
    shown.extend(sandbox.hostname.iter().map(|name| ("Hostname", name.to_string())));
    shown.extend(sandbox.extra_hosts.iter().map(|entry| ("Extra host", entry.to_string())));
    shown.extend(sandbox.sysctls.iter().map(|sysctl| ("Sysctl", sysctl.to_string())));
    shown.extend(view.interfaces.iter().map(|interface| ("Interface", interface_text(interface))));
    fields(shown)
}

fn interface_text(interface: &InterfaceView) -> String {
    let mut words = vec![
        interface.device.clone().unwrap_or_else(|| "none".to_owned()),
        format!("service {}.{}", interface.service, interface.network),
    ];
    words.extend(interface.mac.map(|mac| format!("lladdr {mac}")));
    words.extend(interface.addresses.iter().map(|address| format!("inet {address}")));
    words.extend(ports::folded(&interface.ports).iter().map(|port| format!("port {port}")));
    words.extend(interface.aliases.iter().map(|alias| format!("alias {alias}")));
    words.join(" ")
}
