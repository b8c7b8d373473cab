//! What the daemon takes from its machine: each setting is an option, a variable and a key of the file at once.

mod listen;
mod options;

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tracing_subscriber::EnvFilter;

pub(super) use self::options::{FileArgs, Options};
use super::log;
use crate::{
    controller::{Config, ReapAfter},
    ipam::DefaultPool,
    model::{Choice, DeviceName, HostName},
    plugin::DIRECTORIES,
    store::{EtcdOptions, InvalidSpec, OpenOptions, StoreSpec},
};

/// The settings of a daemon.
#[derive(Debug)]
pub(super) struct Settings {
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
    pub bpf_dir: PathBuf,
    pub netns_dir: PathBuf,
    pub store: StoreSpec,
    pub store_options: OpenOptions,
    pub bind_interface: Option<String>,
    pub vxlan_port: u16,
    pub big_tcp: Choice,
    pub xdp: Choice,
    pub reap_after: ReapAfter,
    pub default_pools: Vec<DefaultPool>,
    pub plugin_dirs: Vec<PathBuf>,
    pub docker: DockerSettings,
    pub metrics_listen: Option<SocketAddr>,
    pub web_listen: Option<SocketAddr>,
    pub host: HostName,
    pub log: EnvFilter,
}

/// What is served to Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DockerSettings {
    pub serve: bool,
    pub plugin_socket: PathBuf,
    pub swarm_socket: Option<PathBuf>,
    pub engine: PathBuf,
}

/// Why settings are unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("settings file {path} cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says something that is unusable.
    #[error("settings file {path}, line {line}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// The key and what is wrong with it.
        reason: String,
    },
    /// A value is unusable, wherever it is from.
    #[error("--{option} {value:?} is not usable: {reason}")]
    Value {
        /// The option, which is the key of the file too.
        option: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Settings {
    /// Settings by the command line and the environment, which clap has merged into `given`, then the file, then the
    /// defaults.
    pub(super) fn resolve(given: Options, file: &FileArgs) -> Result<Self, Error> {
        Self::new(given.over(file.read()?))
    }

    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let run_dir = directory("run-dir", options.run_dir, "/run/netctl")?;
        let log = options.log.unwrap_or_else(|| "info".to_owned());
        let log = log::filter(&log).map_err(|reason| unusable("log", &log, &reason))?;
        if let Some(device) = &options.bind_interface {
            check_device(device)?;
        }
        let vxlan_port = options.vxlan_port.unwrap_or(4789);
        if vxlan_port == 0 {
            return Err(unusable("vxlan-port", "0", &"a port is from 1 to 65535"));
        }
        let state_dir = directory("state-dir", options.state_dir, "/var/lib/netctl")?;
        let etcd = EtcdOptions {
            prefix: options.store_prefix.unwrap_or(EtcdOptions::default().prefix),
            ca: options.store_ca,
            cert: options.store_cert,
            key: options.store_key,
            user: options.store_user,
            password: options.store_password_file.as_deref().map(password).transpose()?,
        };
        Ok(Self {
            bpf_dir: directory("bpf-dir", options.bpf_dir, "/sys/fs/bpf/netctl")?,
            netns_dir: directory("netns-dir", options.netns_dir, "/run/netns")?,
            store: {
                let text = options.store.unwrap_or_else(|| "file".to_owned());
                text.parse()
                    .map_err(|InvalidSpec { reason, .. }| unusable("store", &text, &reason))?
            },
            store_options: OpenOptions { file: state_dir.join("store.db"), etcd },
            state_dir,
            host: match options.host_name {
                Some(host) => host,
                None => machine_name()?,
            },
            bind_interface: options.bind_interface,
            run_dir,
            vxlan_port,
            big_tcp: options.big_tcp.unwrap_or_default(),
            xdp: options.xdp.unwrap_or_default(),
            reap_after: options.reap_after.unwrap_or_default(),
            default_pools: options.default_pools.unwrap_or_else(DefaultPool::defaults),
            plugin_dirs: options
                .plugin_dirs
                .unwrap_or_else(|| DIRECTORIES.map(PathBuf::from).to_vec())
                .iter()
                .map(|path| absolute("plugin-dir", path))
                .collect::<Result<_, _>>()?,
            docker: DockerSettings {
                serve: options.docker.unwrap_or(false),
                plugin_socket: directory(
                    "docker-plugin-socket",
                    options.docker_plugin_socket,
                    "/run/docker/plugins/netctl.sock",
                )?,
                swarm_socket: options
                    .docker_swarm_socket
                    .map(|path| absolute("docker-swarm-socket", &path))
                    .transpose()?,
                engine: directory("docker-engine", options.docker_engine, "/run/docker.sock")?,
            },
            metrics_listen: options.metrics_listen.as_deref().map(listen::metrics).transpose()?,
            web_listen: options.web_listen.as_deref().map(listen::web).transpose()?,
            log,
        })
    }

    /// These as they would be given, so that each can be shown; what only names a file stays what was `given`, or else
    /// what was `written`.
    pub(super) fn shown(&self, given: &Options, written: &Options) -> Options {
        let etcd = &self.store_options.etcd;
        let password_file = given.store_password_file.as_ref();
        Options {
            run_dir: Some(self.run_dir.clone()),
            state_dir: Some(self.state_dir.clone()),
            bpf_dir: Some(self.bpf_dir.clone()),
            netns_dir: Some(self.netns_dir.clone()),
            store: Some(self.store.to_string()),
            store_prefix: Some(etcd.prefix.clone()),
            store_ca: etcd.ca.clone(),
            store_cert: etcd.cert.clone(),
            store_key: etcd.key.clone(),
            store_user: etcd.user.clone(),
            store_password_file: password_file.or(written.store_password_file.as_ref()).cloned(),
            bind_interface: self.bind_interface.clone(),
            vxlan_port: Some(self.vxlan_port),
            big_tcp: Some(self.big_tcp),
            xdp: Some(self.xdp),
            reap_after: Some(self.reap_after),
            default_pools: Some(self.default_pools.clone()),
            plugin_dirs: Some(self.plugin_dirs.clone()),
            docker: Some(self.docker.serve),
            docker_plugin_socket: Some(self.docker.plugin_socket.clone()),
            docker_swarm_socket: self.docker.swarm_socket.clone(),
            docker_engine: Some(self.docker.engine.clone()),
            metrics_listen: self.metrics_listen.map(|address| address.to_string()),
            web_listen: self.web_listen.map(|address| address.to_string()),
            host_name: Some(self.host.clone()),
            log: Some(self.log.to_string()),
        }
    }

    /// What the controller is to know.
    pub(super) fn controller(self) -> Config {
        let Self {
            run_dir,
            state_dir,
            bpf_dir,
            netns_dir,
            store: _,
            store_options: _,
            bind_interface,
            vxlan_port,
            big_tcp,
            xdp,
            reap_after,
            default_pools,
            plugin_dirs,
            docker: _,
            metrics_listen: _,
            web_listen: _,
            host,
            log: _,
        } = self;
        Config {
            host,
            run_dir,
            state_dir,
            bpf_dir,
            netns_dir,
            bind_interface,
            vxlan_port,
            big_tcp,
            xdp,
            reap_after,
            default_pools,
            plugin_dirs,
        }
    }
}

/// A path, or the default for it.
fn directory(
    option: &'static str,
    given: Option<PathBuf>,
    default: &str,
) -> Result<PathBuf, Error> {
    absolute(option, &given.unwrap_or_else(|| default.into()))
}

/// Paths are told to others, who work in another directory.
fn absolute(option: &'static str, path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| unusable(option, &path.display().to_string(), &error))
}

/// A password is not for command lines, which all users of the machine can read.
fn password(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path)
        .map_err(|error| unusable("store-password-file", &path.display().to_string(), &error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn check_device(name: &str) -> Result<(), Error> {
    name.parse::<DeviceName>()
        .map(drop)
        .map_err(|_error| unusable("bind-interface", name, &"it is no name of a device"))
}

fn machine_name() -> Result<HostName, Error> {
    let name = nix::unistd::gethostname()
        .map_err(|error| unusable("host-name", "", &error))?
        .to_string_lossy()
        .into_owned();
    let hint = |error| format!("the machine's own name, {error}; name the host by --host-name");
    name.parse().map_err(|error| unusable("host-name", &name, &hint(error)))
}

fn unusable(option: &'static str, value: &str, reason: &dyn fmt::Display) -> Error {
    Error::Value { option, value: value.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
