//! `netctl cni`.

mod conflist;
mod plugin;

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde::Serialize;

use self::conflist::Conflist;
use super::{Context, Error, Result, output::lines};
use crate::model::{DriverName, Name};

const INSTALL: &str = "\
The plugin is a copy of this program: a runtime may see other files than this process does. After
an upgrade of netctl, install it again. A configuration that is there already stays as it is.

Examples:
  netctl cni install --network dev --subnet 10.1.0.0/24
  podman run -d --network dev --name web -p 8080:80 IMAGE";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Put the plugin and a network configuration where container runtimes look for them
    #[command(after_help = INSTALL)]
    Install(Install),
    /// Remove the plugin and its network configurations
    Uninstall(Uninstall),
}

/// Where runtimes look.
#[derive(Debug, Args)]
struct Dirs {
    /// Directory of plugins
    #[arg(long, value_name = "DIR", default_value = "/opt/cni/bin")]
    bin_dir: PathBuf,
    /// Directory of network configurations
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    dirs: Dirs,
    /// Network that containers are to join, made with the first of them where it is not there; the configuration has
    /// the same name
    #[arg(long, value_name = "NAME", default_value = "netctl")]
    network: Name,
    /// Driver of a network that is made; overlay where none is given
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<DriverName>,
    /// Subnet of a network that is made; a free one is chosen where none is given
    #[arg(long = "subnet", value_name = "CIDR")]
    subnets: Vec<IpNet>,
    /// A network that is made is of IPv4 and IPv6
    #[arg(long)]
    ipv6: bool,
    /// A network that is made has no way out
    #[arg(long)]
    internal: bool,
}

#[derive(Debug, Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    dirs: Dirs,
    /// Remove the configuration of this network alone, and the plugin with the last
    #[arg(long, value_name = "NAME")]
    network: Option<Name>,
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Done {
    path: PathBuf,
    done: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Wrote,
    Kept,
    Removed,
}

impl Done {
    fn line(&self) -> String {
        let what = match self.done {
            What::Wrote => "wrote",
            What::Kept => "kept",
            What::Removed => "removed",
        };
        format!("{what} {}", self.path.display())
    }
}

impl Command {
    pub(super) fn run(self, context: &Context) -> Result {
        let done = match self {
            Self::Install(install) => install.run(context)?,
            Self::Uninstall(uninstall) => uninstall.run()?,
        };
        context.output.show(&*done, |done| lines(done.iter().map(Done::line)))
    }
}

impl Install {
    fn run(self, context: &Context) -> Result<Vec<Done>> {
        let Dirs { bin_dir, conf_dir } = &self.dirs;
        // All is looked at before anything is written.
        let plugin = plugin::Target::look(bin_dir)?;
        let text = conflist::text(&self, context.client.socket());
        let path = conf_dir.join(conflist::file_name(&self.network));
        let mut there = false;
        for found in conflist::all(conf_dir)? {
            let ours = found.is_ours();
            if found.path == path && ours {
                there = true;
            } else if found.path == path {
                return Err(Error::NotOurs(found.path));
            } else if found.name == self.network.as_str() {
                return Err(Error::NameTaken { path: found.path, name: self.network });
            }
        }
        let copied = plugin.install()?;
        let written = if there {
            What::Kept
        } else {
            if let Err(error) = replace(&path, 0o644, &mut text.as_bytes()) {
                plugin.take_back(&copied);
                return Err(error);
            }
            What::Wrote
        };
        Ok(vec![copied, Done { path, done: written }])
    }
}

impl Uninstall {
    fn run(self) -> Result<Vec<Done>> {
        let Dirs { bin_dir, conf_dir } = &self.dirs;
        let plugin = plugin::Target::look(bin_dir)?;
        let meant = |conf: &Conflist| {
            conf.is_ours() && self.network.as_ref().is_none_or(|name| conf.name == name.as_str())
        };
        let (go, stay): (Vec<_>, Vec<_>) = conflist::all(conf_dir)?.into_iter().partition(meant);
        let mut done = Vec::new();
        for Conflist { path, .. } in go {
            fs::remove_file(&path).map_err(|source| Error::File { path: path.clone(), source })?;
            done.push(Done { path, done: What::Removed });
        }
        // Other configurations may have the plugin in a chain with others.
        done.extend(plugin.uninstall(stay.iter().any(Conflist::uses_plugin))?);
        Ok(done)
    }
}

/// Puts a file in place of what is at `path`, whole or not at all; missing directories are made.
fn replace(path: &Path, mode: u32, from: &mut dyn io::Read) -> Result<()> {
    let new = path
        .with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let written = (|| {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        // What a killed process left may have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        io::copy(from, &mut file)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|source| {
        // It may not be there at all.
        drop(fs::remove_file(&new));
        Error::File { path: path.to_owned(), source }
    })
}
