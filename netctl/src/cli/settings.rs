//! What the daemon takes from its machine: each setting is an option, a variable and a key of the file at once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::model::HostName;

const DEFAULT_FILE: &str = "/etc/netctl/netctl.toml";
/// The longest name of a device, IFNAMSIZ less its end (include/uapi/linux/if.h).
const DEVICE_NAME: usize = 15;

/// Where the file with settings is.
#[derive(Debug, Default, clap::Args)]
pub(super) struct FileArgs {
    /// File with settings, in TOML; its keys are the names of these options
    /// [default: /etc/netctl/netctl.toml, if it is there]
    #[arg(long, env = "NETCTL_CONFIG", value_name = "PATH", hide_env_values = true)]
    config: Option<PathBuf>,
}

/// Settings as one source gives them; a setting is added here and in [`Settings::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
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
    /// [default: netns in the run directory]
    #[arg(long, env = "NETCTL_NETNS_DIR", value_name = "PATH", hide_env_values = true)]
    netns_dir: Option<PathBuf>,
    /// Shared state: file, file:PATH, or etcd:URL[,URL...]
    /// [default: file, which is store.db in the state directory]
    #[arg(long, env = "NETCTL_STORE", value_name = "STORE", hide_env_values = true)]
    store: Option<String>,
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
    /// [default: the one that the default route or else the first global address is on]
    #[arg(long, env = "NETCTL_BIND_INTERFACE", value_name = "DEVICE", hide_env_values = true)]
    bind_interface: Option<String>,
    /// UDP port of VXLAN, the same on all hosts
    /// [default: 4789]
    #[arg(long, env = "NETCTL_VXLAN_PORT", value_name = "PORT", hide_env_values = true)]
    vxlan_port: Option<u16>,
    /// Name of this host, unique in the cluster
    /// [default: the machine's]
    #[arg(long, env = "NETCTL_HOST_NAME", value_name = "NAME", hide_env_values = true)]
    host_name: Option<HostName>,
    /// What to log: error, warn, info, debug, trace, or directives such as info,netctl::store=debug
    /// [default: info]
    #[arg(long, env = "NETCTL_LOG", value_name = "LEVEL", hide_env_values = true)]
    log: Option<String>,
}
