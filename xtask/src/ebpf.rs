//! Builds the eBPF programs with a compiler that can build `core` for their target.
//!
//! It depends on the standard library alone, because `netctl/build.rs` includes this very file.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";
const LINKER: &str = "bpf-linker";
const MISSING: &str = "the eBPF toolchain is missing: run `cargo xtask setup`";
/// How much of the compiler's words is worth reading after a failure.
const LAST_LINES: usize = 60;

/// A compiler and its cargo, both of one release, with the source of `core` beside them.
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
}

/// Builds the object and returns its path. It takes a third of a second where nothing has changed.
///
/// `workspace` is the directory of the workspace's `Cargo.toml`, `target` its target directory.
///
/// # Errors
///
/// One sentence where the toolchain is missing; the compiler's last words where building fails.
pub(crate) fn build(workspace: &Path, target: &Path) -> Result<PathBuf, String> {
    let toolchain = toolchain().ok_or(MISSING)?;
    let linker = linker(target).ok_or(MISSING)?;
    let directory = target.join("ebpf");

    let mut command = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os() {
        if is_foreign(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
        .current_dir(workspace.join("netctl-ebpf"))
        .env("PATH", with_first(&linker)?)
        .env("RUSTC", &toolchain.rustc)
        // A stable compiler builds `core` only when told that it may.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"))
        .args(["build", "--release", "--locked", "-Zbuild-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&directory);
    let output = command
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", toolchain.cargo.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = words.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        return Err(format!("the eBPF programs cannot be built:\n{}", last.join("\n")));
    }
    Ok(directory.join(TARGET).join("release").join("netctl"))
}

fn flags() -> Vec<String> {
    vec![
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        "-Zub-checks=no".to_owned(),
    ]
}

/// Whether a variable tells the cargo that runs us how to build for this machine, and would mislead the one that we
/// run. How to reach registries stays.
fn is_foreign(name: &str) -> bool {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"];
    const NAMES: [&str; 9] = [
        "DEBUG",
        "HOST",
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "TARGET",
    ];
    let cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let rust = name.starts_with("RUST") && name != "RUSTUP_HOME";
    cargo || rust || NAMES.contains(&name)
}

/// A nightly of rustup's with the component `rust-src`, or else the distribution's compiler with its source.
pub(crate) fn toolchain() -> Option<Toolchain> {
    let nightly = rustup_toolchains().into_iter().filter(|root| {
        root.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nightly"))
    });
    nightly.chain([PathBuf::from("/usr")]).find_map(|root| {
        let toolchain = Toolchain { cargo: root.join("bin/cargo"), rustc: root.join("bin/rustc") };
        let complete = root.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
            && toolchain.cargo.is_file()
            && toolchain.rustc.is_file();
        complete.then_some(toolchain)
    })
}

fn rustup_toolchains() -> Vec<PathBuf> {
    let home =
        env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".rustup")));
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok()) else {
        return Vec::new();
    };
    let mut roots: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    roots.sort_unstable();
    roots
}

/// The directory of the linker: what the person put on the path comes first, what `setup` built last.
pub(crate) fn linker(target: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cargo")));
    env::split_paths(&path)
        .chain(cargo.map(|cargo| cargo.join("bin")))
        .chain([target.join("tools").join("bin")])
        .find(|directory| directory.join(LINKER).is_file())
}

fn with_first(directory: &Path) -> Result<OsString, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([directory.to_owned()].into_iter().chain(env::split_paths(&path)))
        .map_err(|error| format!("PATH cannot hold {}: {error}", directory.display()))
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)
}
