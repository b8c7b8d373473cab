//! Programs and libraries of the machine's own package manager.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

use super::{linker, quiet};

/// How to see that something is there without asking a package manager, which is slower and
/// does not know what came another way.
#[derive(Clone, Copy)]
enum Probe {
    /// A program on the PATH.
    Program(&'static str),
    /// A file or directory.
    File(&'static str),
}

/// What is needed, and the Debian package that brings it.
const NEEDED: &[(Probe, &str)] = &[
    // To build: the C part of the embedded store, and etcd's protocol.
    (Probe::Program("cc"), "gcc"),
    (Probe::File("/usr/include/stdlib.h"), "libc6-dev"),
    (Probe::Program("protoc"), "protobuf-compiler"),
    // A mere recommendation of the compiler's package, which not every machine follows.
    (Probe::File("/usr/include/google/protobuf/descriptor.proto"), "libprotobuf-dev"),
    (Probe::File("/etc/ssl/certs/ca-certificates.crt"), "ca-certificates"),
    // To test: hosts made of namespaces, and other people's tools to see the truth with.
    (Probe::Program("nsenter"), "util-linux"),
    (Probe::Program("ip"), "iproute2"),
    (Probe::Program("ping"), "iputils-ping"),
    (Probe::Program("tcpdump"), "tcpdump"),
    (Probe::Program("tshark"), "tshark"),
    (Probe::Program("iperf3"), "iperf3"),
    (Probe::Program("ethtool"), "ethtool"),
    (Probe::Program("nft"), "nftables"),
    // The page is looked at by a browser without a screen.
    (Probe::Program("chromium-headless-shell"), "chromium-headless-shell"),
    // Units are verified, and a daemon is started as they have it.
    (Probe::Program("systemd-analyze"), "systemd"),
    (Probe::Program("etcd"), "etcd-server"),
    (Probe::Program("etcdctl"), "etcd-client"),
    // Container engines, each started by the test that needs it, and what their containers are made of.
    (Probe::Program("dockerd"), "docker.io"),
    (Probe::Program("docker"), "docker.io"),
    (Probe::Program("docker-compose"), "docker-compose"),
    (Probe::Program("iptables"), "iptables"),
    // Runtimes that speak CNI. crun is the one that runs containers without cgroups.
    (Probe::Program("podman"), "podman"),
    (Probe::Program("crun"), "crun"),
    (Probe::Program("containerd"), "containerd"),
    (Probe::File("/usr/lib/cni/tuning"), "containernetworking-plugins"),
    (Probe::File("/bin/busybox"), "busybox-static"),
    // Sets a daemon's wall clock, of which there is one for the whole machine.
    (Probe::Program("faketime"), "faketime"),
];

/// A compiler with the source of `core`, for machines where rustup brings none.
const COMPILER: &[(Probe, &str)] = &[
    (Probe::File("/usr/bin/rustc"), "rustc-web"),
    (Probe::File("/usr/bin/cargo"), "cargo-web"),
    (Probe::File("/usr/lib/rustlib/src/rust/library/core"), "rust-web-src"),
];

/// What bpf-linker is built against: the LLVM of the compiler above. A C++ compiler tells where
/// its library is.
const LINKER: &[(Probe, &str)] = &[
    (Probe::File("/usr/lib/llvm-22/lib/libLLVM.so"), "llvm-22-dev"),
    (Probe::Program("c++"), "g++"),
];

impl Probe {
    fn found(self) -> bool {
        match self {
            Self::Program(name) => on_path(name),
            Self::File(path) => Path::new(path).exists(),
        }
    }
}

/// Whether a program is on the PATH, or where Debian keeps those for root.
fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(name).is_file())
}

/// Installs what is missing; says whether anything was.
pub(super) fn ensure() -> Result<bool> {
    let mut needed = NEEDED.to_vec();
    if linker::distribution() {
        needed.extend(COMPILER);
        needed.extend(LINKER);
    }
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(probe, _)| !probe.found())
        .map(|(_, package)| package)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if missing.is_empty() {
        return Ok(false);
    }
    install(&missing)?;
    Ok(true)
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !on_path("apt-get") {
        bail!("this machine has no apt-get: install what Debian calls {list} by its own means");
    }
    if !testbed::is_root() {
        bail!(
            "packages are missing and only root can install them: run `sudo apt-get install {list}`"
        );
    }
    shell::long("reading the package lists", "apt-update", apt(&["update"]))
        .context("apt-get cannot read the package lists: is there a network?")?;
    let mut command = apt(&["install", "--yes", "--no-install-recommends"]);
    command.args(packages);
    shell::long(&format!("installing {list}"), "apt-install", quiet::quietly(&command))
        .with_context(|| format!("apt-get cannot install {list}"))?;
    quiet::disable(packages)
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        // Somebody else's installation may be under way.
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
