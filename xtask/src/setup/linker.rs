//! bpf-linker, built against the LLVM of the compiler that builds the eBPF programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::shell;

/// The version that takes the bitcode of LLVM 22 (rustc 1.96) and of today's nightly.
const VERSION: &str = "0.13.0";

/// Where Debian keeps the LLVM that its rustc-web is linked to.
const LLVM: &str = "/usr/lib/llvm-22";

/// Builds it unless it is there and runs; says whether it was built.
pub(super) fn ensure() -> Result<bool> {
    let tools = shell::target()?.join("tools");
    if runs(&tools.join("bin").join("bpf-linker")) {
        return Ok(false);
    }
    let mut command = if nightly_with_source().is_some() {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo", "install", "bpf-linker", "--version", VERSION]);
        command
    } else {
        let mut command = shell::cargo(&["install", "bpf-linker", "--version", VERSION]);
        command
            .args(["--no-default-features", "--features", "llvm-22"])
            // Without the first it does not find -lLLVM.
            .env("LLVM_PREFIX", LLVM)
            .env("LLVM_SYS_221_PREFIX", LLVM);
        command
    };
    command.args(["--locked", "--force", "--root"]).arg(&tools);
    shell::long("building bpf-linker", "bpf-linker", command)
        .context("the eBPF linker cannot be installed")?;
    Ok(true)
}

fn runs(linker: &Path) -> bool {
    let mut command = Command::new(linker);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The source of `core` of rustup's nightly, where that component is installed.
pub(super) fn nightly_with_source() -> Option<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".rustup"))
    })?;
    let triple = format!("nightly-{}-unknown-linux-gnu", std::env::consts::ARCH);
    let source = home.join("toolchains").join(triple).join("lib/rustlib/src/rust/library/core");
    source.is_dir().then_some(source)
}
