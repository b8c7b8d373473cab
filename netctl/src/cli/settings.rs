//! What the daemon takes from its machine: each setting is an option, a variable and a key of the file at once.

mod listen;

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::log;
use crate::{
    controller::{Config, ReapAfter},
    ipam::DefaultPool,
    model::{Choice, DeviceName, HostName},
    plugin::DIRECTORIES,
    store::{EtcdOptions, InvalidSpec, OpenOptions, StoreSpec},
};

const DEFAULT_FILE: &str = "/etc/netctl/netctl.toml";

/// Where the file with settings is.
#[derive(Debug, Default, clap::Args)]
pub(super) struct FileArgs {
    /// File with settings, in TOML; its keys are the names of these options
    /// [default: /etc/netctl/netctl.toml, if it is there]
    #[arg(long, env = "NETCTL_CONFIG", value_name = "PATH", hide_env_values = true)]
    config: Option<PathBuf>,
}

/// Settings as one source gives them; a setting is added here and in [`Settings::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Options {
    /// Directory of the socket and of files that live as long as the machine is up
    /// [default: /run/netctl]
    #[arg(long, env = "NETCTL_RUN_DIR", value_name = "PATH", hide_env_values = true)]
    run_dir: Option<PathBuf>,
    /// Directory of files that outlive the machine's being up
    /// [default: /var/lib/netctl]
    #[arg(long, env = "NETCTL_STATE_DIR", value_name = "PATH", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// Directory to pin links and maps in; a bpffs is mounted where it is none
    /// [default: /sys/fs/bpf/netctl]
    #[arg(long, env = "NETCTL_BPF_DIR", value_name = "PATH", hide_env_values = true)]
    bpf_dir: Option<PathBuf>,
    /// Directory to bind the namespaces of sandboxes in
    /// [default: /run/netns, where `ip netns` looks for them]
    #[arg(long, env = "NETCTL_NETNS_DIR", value_name = "PATH", hide_env_values = true)]
    netns_dir: Option<PathBuf>,
    /// Shared state: `file`, `file:PATH`, or `etcd:URL[,URL...]`
    /// [default: file, which is store.db in the state directory]
    #[arg(long, env = "NETCTL_STORE", value_name = "STORE", hide_env_values = true)]
    store: Option<String>,
    /// Path in etcd that all keys are below
    /// [default: /netctl/v1]
    #[arg(long, env = "NETCTL_STORE_PREFIX", value_name = "PATH", hide_env_values = true)]
    store_prefix: Option<String>,
    /// Certificates of the authorities that etcd's certificate may be from, in PEM
    #[arg(long, env = "NETCTL_STORE_CA", value_name = "PATH", hide_env_values = true)]
    store_ca: Option<PathBuf>,
    /// Certificate to show to etcd, in PEM
    #[arg(long, env = "NETCTL_STORE_CERT", value_name = "PATH", hide_env_values = true)]
    store_cert: Option<PathBuf>,
    /// Key of the certificate to show to etcd, in PEM
    #[arg(long, env = "NETCTL_STORE_KEY", value_name = "PATH", hide_env_values = true)]
    store_key: Option<PathBuf>,
    /// User to be in etcd
    #[arg(long, env = "NETCTL_STORE_USER", value_name = "NAME", hide_env_values = true)]
    store_user: Option<String>,
    /// File with the password of the user in etcd
    #[arg(long, env = "NETCTL_STORE_PASSWORD_FILE", value_name = "PATH", hide_env_values = true)]
    store_password_file: Option<PathBuf>,
    /// Device of the underlay
    /// [default: the one that the default route is on, or else the only one with a global address]
    #[arg(long, env = "NETCTL_BIND_INTERFACE", value_name = "DEVICE", hide_env_values = true)]
    bind_interface: Option<String>,
    /// UDP port of VXLAN, the same on all hosts
    /// [default: 4789]
    #[arg(long, env = "NETCTL_VXLAN_PORT", value_name = "PORT", hide_env_values = true)]
    vxlan_port: Option<u16>,
    /// TCP packets of up to 192 KiB between containers: auto, on or off. They are cut, if at all, by the underlay's
    /// driver; auto leaves them off where a network card would have to do it
    /// [default: auto]
    #[arg(long, env = "NETCTL_BIG_TCP", value_name = "WHEN", hide_env_values = true)]
    big_tcp: Option<Choice>,
    /// Drop forged packets in the underlay's driver, by XDP: auto, on or off; auto is on for network cards whose driver
    /// can
    /// [default: auto]
    #[arg(long, env = "NETCTL_XDP", value_name = "WHEN", hide_env_values = true)]
    xdp: Option<Choice>,
    /// After which time a host that is missed is taken to be gone for good, and what it had is given back: 15m, 2h, …, or
    /// never
    /// [default: 15m]
    #[arg(long, env = "NETCTL_REAP_AFTER", value_name = "TIME", hide_env_values = true)]
    reap_after: Option<ReapAfter>,
    /// Where subnets come from that nobody asked for, and their size; for several, several times, or with spaces between
    /// [default: pieces of 10.0.0.0/8, and unique local ones of IPv6]
    #[arg(
        id = "default_pool",
        long = "default-pool",
        env = "NETCTL_DEFAULT_POOL",
        value_name = "BASE,SIZE",
        hide_env_values = true
    )]
    #[arg(value_delimiter = ' ')]
    #[serde(rename = "default-pool")]
    default_pools: Option<Vec<DefaultPool>>,
    /// Where plugins are looked for, the first first; for several, several times, or with colons between
    /// [default: /run/docker/plugins, /etc/docker/plugins, /usr/lib/docker/plugins]
    #[arg(
        id = "plugin_dir",
        long = "plugin-dir",
        env = "NETCTL_PLUGIN_DIR",
        value_name = "PATH",
        hide_env_values = true
    )]
    #[arg(value_delimiter = ':')]
    #[serde(rename = "plugin-dir")]
    plugin_dirs: Option<Vec<PathBuf>>,
    /// Serve the plugin of Docker: the network driver and the IPAM driver `netctl`
    /// [default: false]
    #[arg(
        long,
        env = "NETCTL_DOCKER",
        value_name = "BOOL",
        hide_env_values = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    docker: Option<bool>,
    /// Socket at which Docker finds the plugin
    /// [default: /run/docker/plugins/netctl.sock]
    #[arg(long, env = "NETCTL_DOCKER_PLUGIN_SOCKET", value_name = "PATH", hide_env_values = true)]
    docker_plugin_socket: Option<PathBuf>,
    /// Socket at which a managed plugin of Docker Swarm finds the daemon; none is served where none is given
    #[arg(long, env = "NETCTL_DOCKER_SWARM_SOCKET", value_name = "PATH", hide_env_values = true)]
    docker_swarm_socket: Option<PathBuf>,
    /// Socket of Docker's own API, which tells of containers and networks
    /// [default: /run/docker.sock]
    #[arg(long, env = "NETCTL_DOCKER_ENGINE", value_name = "PATH", hide_env_values = true)]
    docker_engine: Option<PathBuf>,
    /// Address and port to serve metrics at by TCP, to all who reach it: `127.0.0.1:9469`, `[::]:9469`. They are
    /// at `GET /metrics` on the daemon's own socket always; by TCP where an address is given
    #[arg(long, env = "NETCTL_METRICS_LISTEN", value_name = "ADDR:PORT", hide_env_values = true)]
    metrics_listen: Option<String>,
    /// Address and port to serve a page for a browser at, which shows hosts, networks, services and their traffic: of a bare
    /// port, and of no value, the address is 127.0.0.1, which this host alone reaches; of a bare address, the port is 9470.
    /// There is no password: another address serves it to all who reach that. Nothing is served where this is not given
    #[arg(
        long,
        env = "NETCTL_WEB_LISTEN",
        value_name = "ADDR:PORT",
        hide_env_values = true,
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9470"
    )]
    web_listen: Option<String>,
    /// Name of this host, unique in the cluster
    /// [default: the machine's]
    #[arg(long, env = "NETCTL_HOST_NAME", value_name = "NAME", hide_env_values = true)]
    host_name: Option<HostName>,
    /// What to log: error, warn, info, debug, trace, or directives such as `info,netctl::store=debug`
    /// [default: info]
    #[arg(long, env = "NETCTL_LOG", value_name = "LEVEL", hide_env_values = true)]
    log: Option<String>,
}

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

impl Options {
    /// These, and where they say nothing those.
    pub(super) fn over(self, those: Self) -> Self {
        Self {
            run_dir: self.run_dir.or(those.run_dir),
            state_dir: self.state_dir.or(those.state_dir),
            bpf_dir: self.bpf_dir.or(those.bpf_dir),
            netns_dir: self.netns_dir.or(those.netns_dir),
            store: self.store.or(those.store),
            store_prefix: self.store_prefix.or(those.store_prefix),
            store_ca: self.store_ca.or(those.store_ca),
            store_cert: self.store_cert.or(those.store_cert),
            store_key: self.store_key.or(those.store_key),
            store_user: self.store_user.or(those.store_user),
            store_password_file: self.store_password_file.or(those.store_password_file),
            bind_interface: self.bind_interface.or(those.bind_interface),
            vxlan_port: self.vxlan_port.or(those.vxlan_port),
            big_tcp: self.big_tcp.or(those.big_tcp),
            xdp: self.xdp.or(those.xdp),
            reap_after: self.reap_after.or(those.reap_after),
            default_pools: self.default_pools.or(those.default_pools),
            plugin_dirs: self.plugin_dirs.or(those.plugin_dirs),
            docker: self.docker.or(those.docker),
            docker_plugin_socket: self.docker_plugin_socket.or(those.docker_plugin_socket),
            docker_swarm_socket: self.docker_swarm_socket.or(those.docker_swarm_socket),
            docker_engine: self.docker_engine.or(those.docker_engine),
            metrics_listen: self.metrics_listen.or(those.metrics_listen),
            web_listen: self.web_listen.or(those.web_listen),
            host_name: self.host_name.or(those.host_name),
            log: self.log.or(those.log),
        }
    }

    /// Every setting with its value as text, by name.
    pub(super) fn entries(&self) -> Vec<(String, Option<String>)> {
        let value = serde_json::to_value(self).expect("settings have string keys");
        let text = |value: &serde_json::Value| {
            let plain = value.as_str().map(str::to_owned);
            plain.or_else(|| (!value.is_null()).then(|| value.to_string()))
        };
        let entries = value.as_object().into_iter().flatten();
        entries.map(|(setting, value)| (setting.clone(), text(value))).collect()
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let fail = |at: Option<std::ops::Range<usize>>, reason: String| {
            let before = at.and_then(|at| text.get(..at.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::File { path: path.to_owned(), line, reason }
        };
        let document = toml::Deserializer::parse(text)
            .map_err(|error| fail(error.span(), error.message().to_owned()))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let (key, inner) = (error.path().to_string(), error.inner());
            fail(inner.span(), format!("key {key}: {}", inner.message()))
        })
    }
}

impl FileArgs {
    pub(super) fn read(&self) -> Result<Options, Error> {
        let path = self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        match fs::read_to_string(path) {
            Ok(text) => Options::parse(path, &text),
            Err(error) if self.config.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Options::default())
            }
            Err(source) => Err(Error::Unreadable { path: path.to_owned(), source }),
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
