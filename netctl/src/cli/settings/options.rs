//! Settings as a source gives them: the command line with the environment, or the file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    controller::ReapAfter,
    ipam::DefaultPool,
    model::{Choice, HostName},
};

const DEFAULT_FILE: &str = "/etc/netctl/netctl.toml";

/// Where the file with settings is.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct FileArgs {
    /// File with settings, in TOML; its keys are the names of these options
    /// [default: /etc/netctl/netctl.toml, if it is there]
    #[arg(long, env = "NETCTL_CONFIG", value_name = "PATH", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,
}

/// Settings as one source gives them; a setting is added here and in [`super::Settings::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::cli) struct Options {
    /// Directory of the socket and of files that live as long as the machine is up
    /// [default: /run/netctl]
    #[arg(long, env = "NETCTL_RUN_DIR", value_name = "PATH", hide_env_values = true)]
    pub(super) run_dir: Option<PathBuf>,
    /// Directory of files that outlive the machine's being up
    /// [default: /var/lib/netctl]
    #[arg(long, env = "NETCTL_STATE_DIR", value_name = "PATH", hide_env_values = true)]
    pub(super) state_dir: Option<PathBuf>,
    /// Directory to pin links and maps in; a bpffs is mounted where it is none
    /// [default: /sys/fs/bpf/netctl]
    #[arg(long, env = "NETCTL_BPF_DIR", value_name = "PATH", hide_env_values = true)]
    pub(super) bpf_dir: Option<PathBuf>,
    /// Directory to bind the namespaces of sandboxes in
    /// [default: /run/netns, where `ip netns` looks for them]
    #[arg(long, env = "NETCTL_NETNS_DIR", value_name = "PATH", hide_env_values = true)]
    pub(super) netns_dir: Option<PathBuf>,
    /// Shared state: `file`, `file:PATH`, or `etcd:URL[,URL...]`
    /// [default: file, which is store.db in the state directory]
    #[arg(long, env = "NETCTL_STORE", value_name = "STORE", hide_env_values = true)]
    pub(super) store: Option<String>,
    /// Path in etcd that all keys are below
    /// [default: /netctl/v1]
    #[arg(long, env = "NETCTL_STORE_PREFIX", value_name = "PATH", hide_env_values = true)]
    pub(super) store_prefix: Option<String>,
    /// Certificates of the authorities that etcd's certificate may be from, in PEM
    #[arg(long, env = "NETCTL_STORE_CA", value_name = "PATH", hide_env_values = true)]
    pub(super) store_ca: Option<PathBuf>,
    /// Certificate to show to etcd, in PEM
    #[arg(long, env = "NETCTL_STORE_CERT", value_name = "PATH", hide_env_values = true)]
    pub(super) store_cert: Option<PathBuf>,
    /// Key of the certificate to show to etcd, in PEM
    #[arg(long, env = "NETCTL_STORE_KEY", value_name = "PATH", hide_env_values = true)]
    pub(super) store_key: Option<PathBuf>,
    /// User to be in etcd
    #[arg(long, env = "NETCTL_STORE_USER", value_name = "NAME", hide_env_values = true)]
    pub(super) store_user: Option<String>,
    /// File with the password of the user in etcd
    #[arg(long, env = "NETCTL_STORE_PASSWORD_FILE", value_name = "PATH", hide_env_values = true)]
    pub(super) store_password_file: Option<PathBuf>,
    /// Device of the underlay
    /// [default: the one that the default route is on, or else the only one with a global address]
    #[arg(long, env = "NETCTL_BIND_INTERFACE", value_name = "DEVICE", hide_env_values = true)]
    pub(super) bind_interface: Option<String>,
    /// UDP port of VXLAN, the same on all hosts
    /// [default: 4789]
    #[arg(long, env = "NETCTL_VXLAN_PORT", value_name = "PORT", hide_env_values = true)]
    pub(super) vxlan_port: Option<u16>,
    /// TCP packets of up to 192 KiB between containers: auto, on or off. They are cut, if at all, by the underlay's
    /// driver; auto leaves them off where a network card would have to do it
    /// [default: auto]
    #[arg(long, env = "NETCTL_BIG_TCP", value_name = "WHEN", hide_env_values = true)]
    pub(super) big_tcp: Option<Choice>,
    /// Drop forged packets in the underlay's driver, by XDP: auto, on or off; auto is on for network cards whose driver
    /// can
    /// [default: auto]
    #[arg(long, env = "NETCTL_XDP", value_name = "WHEN", hide_env_values = true)]
    pub(super) xdp: Option<Choice>,
    /// After which time a host that is missed is taken to be gone for good, and what it had is given back: 15m, 2h, …, or
    /// never
    /// [default: 15m]
    #[arg(long, env = "NETCTL_REAP_AFTER", value_name = "TIME", hide_env_values = true)]
    pub(super) reap_after: Option<ReapAfter>,
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
    pub(super) default_pools: Option<Vec<DefaultPool>>,
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
    pub(super) plugin_dirs: Option<Vec<PathBuf>>,
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
    pub(super) docker: Option<bool>,
    /// Socket at which Docker finds the plugin
    /// [default: /run/docker/plugins/netctl.sock]
    #[arg(long, env = "NETCTL_DOCKER_PLUGIN_SOCKET", value_name = "PATH", hide_env_values = true)]
    pub(super) docker_plugin_socket: Option<PathBuf>,
    /// Socket at which a managed plugin of Docker Swarm finds the daemon; none is served where none is given
    #[arg(long, env = "NETCTL_DOCKER_SWARM_SOCKET", value_name = "PATH", hide_env_values = true)]
    pub(super) docker_swarm_socket: Option<PathBuf>,
    /// Socket of Docker's own API, which tells of containers and networks
    /// [default: /run/docker.sock]
    #[arg(long, env = "NETCTL_DOCKER_ENGINE", value_name = "PATH", hide_env_values = true)]
    pub(super) docker_engine: Option<PathBuf>,
    /// Address and port to serve metrics at by TCP, to all who reach it: `127.0.0.1:9469`, `[::]:9469`. They are
    /// at `GET /metrics` on the daemon's own socket always; by TCP where an address is given
    #[arg(long, env = "NETCTL_METRICS_LISTEN", value_name = "ADDR:PORT", hide_env_values = true)]
    pub(super) metrics_listen: Option<String>,
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
    pub(super) web_listen: Option<String>,
    /// Name of this host, unique in the cluster
    /// [default: the machine's]
    #[arg(long, env = "NETCTL_HOST_NAME", value_name = "NAME", hide_env_values = true)]
    pub(super) host_name: Option<HostName>,
    /// What to log: error, warn, info, debug, trace, or directives such as `info,netctl::store=debug`
    /// [default: info]
    #[arg(long, env = "NETCTL_LOG", value_name = "LEVEL", hide_env_values = true)]
    pub(super) log: Option<String>,
}

impl Options {
    /// These, and where they say nothing those.
    pub(in crate::cli) fn over(self, those: Self) -> Self {
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
    pub(in crate::cli) fn entries(&self) -> Vec<(String, Option<String>)> {
        let value = serde_json::to_value(self).expect("settings have string keys");
        let text = |value: &serde_json::Value| {
            let plain = value.as_str().map(str::to_owned);
            plain.or_else(|| (!value.is_null()).then(|| value.to_string()))
        };
        let entries = value.as_object().into_iter().flatten();
        entries.map(|(setting, value)| (setting.clone(), text(value))).collect()
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
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
    pub(in crate::cli) fn read(&self) -> Result<Options, Error> {
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
