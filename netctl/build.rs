//! Builds the eBPF programs and puts the object where `dataplane` embeds it from: `$OUT_DIR/netctl-ebpf`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

#[path = "../xtask/src/ebpf.rs"]
mod ebpf;

/// What the object is made of, below the workspace: it is built again when any of these changes.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "netctl-common/Cargo.toml",
    "netctl-common/src",
    "netctl-ebpf/Cargo.lock",
    "netctl-ebpf/Cargo.toml",
    "netctl-ebpf/src",
];

fn main() {
    link();
    if let Err(error) = embed() {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn embed() -> Result<(), String> {
    let workspace = directory("CARGO_MANIFEST_DIR")?.join("..");
    let out = directory("OUT_DIR")?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../xtask/src/ebpf.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed=../{source}");
    }

    let object = ebpf::build(&workspace, &target(&workspace, &out))?;
    let bytes = fs::read(&object).map_err(|error| format!("{}: {error}", object.display()))?;
    let embedded = out.join("netctl-ebpf");
    fs::write(&embedded, bytes).map_err(|error| format!("{}: {error}", embedded.display()))
}

/// Tests start the program ten thousand times. Where it is not optimised, half of what that takes is to relocate it.
fn link() {
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo::rustc-link-arg-bin=netctl=-no-pie");
    }
}

fn directory(name: &str) -> Result<PathBuf, String> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {name}"))
}

/// The target directory, which cargo does not tell but marks.
fn target(workspace: &Path, out: &Path) -> PathBuf {
    let marked = out.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| workspace.join("target"), Path::to_owned)
}
