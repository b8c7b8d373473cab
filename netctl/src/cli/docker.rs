//! `netctl docker`: what Docker's Swarm needs of netctl.
//!
//! Swarm takes no plugin by its socket, but managed ones alone: directories with a root file system, which the engine runs
//! in a container of their own. Ours has this program in it, which passes each call on to the daemon of its host.

mod plugin;
mod relay;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Context, Result};

const PLUGIN: &str = "\
On each node of the Swarm, beside a daemon with --docker-swarm-socket /run/netctl/swarm.sock:
  netctl docker plugin /tmp/netctl-plugin
  docker plugin create netctl /tmp/netctl-plugin
  docker plugin enable netctl
Then, on a manager:
  docker network create -d netctl:latest --ipam-driver netctl:latest --attachable dev";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a directory that `docker plugin create` makes a managed plugin of
    #[command(after_help = PLUGIN)]
    Plugin(Plugin),
    /// Pass an engine's calls on to the daemon: what runs in the managed plugin
    Relay(Relay),
}

#[derive(Debug, Args)]
pub(super) struct Plugin {
    /// Socket that the daemon serves Swarm on, its --docker-swarm-socket
    #[arg(long, value_name = "PATH", default_value = "/run/netctl/swarm.sock")]
    swarm_socket: PathBuf,
    /// Directory to write, which is empty or not there yet
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Relay {
    /// Socket that the engine calls
    #[arg(long, value_name = "PATH", default_value = "/run/docker/plugins/netctl.sock")]
    listen: PathBuf,
    /// Socket that the daemon serves Swarm on
    #[arg(value_name = "PATH")]
    daemon: PathBuf,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result {
        match self {
            Self::Plugin(plugin) => plugin.run(context),
            Self::Relay(relay) => relay.run().await,
        }
    }
}
