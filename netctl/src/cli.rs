//! The command line: one file for each noun.
//!
//! Results go to standard output, errors to standard error, a sentence each. The exit code is 0, 1 for a request that
//! failed, 2 for unusable arguments or settings, 3 where the daemon cannot be reached; `run` and `exec` end with their
//! command's own.

mod bench;
mod capture;
mod cni;
mod config;
mod counters;
mod daemon;
mod docker;
mod doctor;
mod end;
mod error;
mod exec;
mod fdb;
mod generate;
mod host;
mod inside;
mod log;
mod monitor;
mod neigh;
mod network;
mod notify;
mod output;
mod pair;
mod passed;
mod ports;
mod run;
mod sandbox;
mod service;
mod settings;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod top;
mod trace;
mod version;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::runtime;

use self::output::{Format, Output};
pub use self::{error::Error, settings::Error as SettingsError};
use crate::api::Client;

/// What a command comes to.
pub type Result<T = ExitCode, E = Error> = std::result::Result<T, E>;

const EXAMPLES: &str = "\
Examples:
  netctl daemon                                         run the daemon of this host
  netctl network create --subnet 10.1.0.0/24 dev        make a network
  netctl run --publish-service web.dev -- ./server      run a command as a service of it
  netctl run --rm --publish-service c.dev -- ping web   reach it by name, from any host
  netctl service ls                                     see what is where
  netctl exec web -- ip addr                            look inside a sandbox

Exit codes: 0 done, 1 the request failed, 2 unusable arguments, 3 the daemon cannot be reached.";

/// Connects containers on many hosts into one network, with eBPF.
#[derive(Debug, Parser)]
#[command(name = "netctl", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Socket of the daemon to talk to
    #[arg(long, global = true, value_name = "PATH", env = "NETCTL_SOCKET")]
    #[arg(default_value = "/run/netctl/netctl.sock", hide_env_values = true)]
    #[arg(help_heading = "Global options")]
    socket: PathBuf,
    /// How to print results; `inspect` prints JSON by default, all else a table
    #[arg(long, global = true, value_enum, hide_possible_values = true)]
    #[arg(value_name = "table|json", help_heading = "Global options")]
    format: Option<Format>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon of this host
    Daemon(Box<daemon::Args>),
    /// Create, list, inspect and remove networks
    #[command(subcommand)]
    Network(network::Command),
    /// Publish, attach, list and inspect services
    #[command(subcommand)]
    Service(service::Command),
    /// Create, list, inspect and remove sandboxes
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    /// Run a command in a sandbox of its own, as one service or several
    Run(run::Args),
    /// Run a command in a sandbox of this host
    Exec(exec::Args),
    /// List the hosts of the cluster
    #[command(subcommand)]
    Host(host::Command),
    /// Show which station is behind which device or tunnel, as the eBPF map has it
    Fdb,
    /// Show which address belongs to which station, as the eBPF map has it
    Neigh,
    /// Show what the eBPF programs counted, drops by reason
    Counters(counters::Args),
    /// Show how the daemon is doing
    Status,
    /// Find what keeps packets from flowing on this host and to the others, and say what mends it
    ///
    /// Works too while the daemon is down. What is wrong is a line each; the exit code is 1 where something is, and 0
    /// where nothing is.
    Doctor(doctor::Args),
    /// Say hop by hop what would become of a packet, and where and why it would stop
    ///
    /// It is sent by a sandbox of this host, to a service or address anywhere. Nothing is really sent into sandboxes: their
    /// routes, the maps and the eBPF programs are asked, and the way to another host is probed. The exit code is 1 where the
    /// packet would not arrive.
    Trace(trace::Args),
    /// Watch what endpoints carry and lose, and what is dropped, by second
    Top(top::Args),
    /// Show drops and new flows as they happen, with names
    ///
    /// Those of this host, one a line, until Ctrl-C. A flow's first packet is the SYN of a TCP connection, and of other
    /// protocols the first after a minute in which neither end sent one. Each of the host's processors tells at most
    /// 1000 drops and 1000 flows a second; what exceeds that, or is read too slowly, is counted and said to be lost. Where nobody
    /// monitors, it costs packets nothing.
    Monitor(monitor::Args),
    /// Capture packets of a service, a network or the host, for Wireshark
    ///
    /// Those of this host's endpoints, in both directions, as they are on their interfaces: the kernel may have merged many
    /// segments into one packet, and checksums may be left to a device. Nothing else than what is captured is slowed down by it. The
    /// file is a pcapng with the names of services: of interfaces, and for addresses.
    Capture(capture::Args),
    /// Measure between this host and another, and say what limits the path
    Bench(Box<bench::Args>),
    /// Put netctl where container runtimes look for CNI plugins, and take it away
    #[command(subcommand)]
    Cni(cni::Command),
    /// Make netctl a plugin of Docker's Swarm
    #[command(subcommand)]
    Docker(docker::Command),
    /// Show the settings that a daemon would have, and where each is from
    #[command(subcommand)]
    Config(config::Command),
    /// Print a shell's completions of this command line
    Completions(generate::Completions),
    /// Print or write manual pages
    Man(generate::Man),
    /// Show the versions of the command line and of the daemon
    Version,
}

/// What commands that talk to the daemon work with.
struct Context {
    client: Client,
    output: Output,
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> Result {
        // All but the daemon do one thing after another.
        let is_daemon = matches!(self.command, Command::Daemon(_));
        let mut runtime = if is_daemon {
            runtime::Builder::new_multi_thread()
        } else {
            runtime::Builder::new_current_thread()
        };
        let context =
            Context { client: Client::new(self.socket), output: Output::new(self.format) };
        let runtime = runtime.enable_all().build().map_err(Error::Start)?;
        let result = runtime.block_on(self.command.run(&context));
        if is_daemon {
            daemon::end_runtime(runtime);
        }
        result
    }
}

impl Command {
    async fn run(self, context: &Context) -> Result {
        match self {
            Self::Daemon(args) => daemon::run(*args, &context.output).await,
            Self::Network(command) => command.run(context).await,
            Self::Service(command) => command.run(context).await,
            Self::Sandbox(command) => command.run(context).await,
            Self::Run(args) => args.run(context).await,
            Self::Exec(args) => args.run(context).await,
            Self::Host(command) => command.run(context).await,
            Self::Fdb => fdb::run(context).await,
            Self::Neigh => neigh::run(context).await,
            Self::Counters(args) => args.run(context).await,
            Self::Status => status::run(context).await,
            Self::Doctor(args) => args.run(context).await,
            Self::Trace(args) => args.run(context).await,
            Self::Top(args) => args.run(context).await,
            Self::Monitor(args) => args.run(context).await,
            Self::Capture(args) => args.run(context).await,
            Self::Bench(args) => args.run(context).await,
            Self::Cni(command) => command.run(context),
            Self::Docker(command) => command.run(context).await,
            Self::Config(command) => command.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
            Self::Version => version::run(context).await,
        }
    }
}
