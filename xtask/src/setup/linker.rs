//! bpf-linker, built against the LLVM of the compiler that builds the eBPF programs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::{ebpf, shell};

/// The version that takes the bitcode of LLVM 22 (rustc 1.96) and of today's nightly.
const VERSION: &str = "0.13.0";

/// Where Debian keeps the LLVM that its rustc-web is linked to.
const LLVM: &str = "/usr/lib/llvm-22";

/// Builds it unless it is there and runs; says whether it was built.
pub(super) fn ensure() -> Result<bool> {
    let target = shell::target()?;
    if ebpf::linker(&target).is_some_and(|dir| runs(&dir.join("bpf-linker"))) {
        return Ok(false);
    }
    let mut command = shell::cargo(&["install", "bpf-linker", "--version", VERSION]);
    if distribution() {
        command
            .args(["--no-default-features", "--features", "llvm-22"])
            // Without the first it does not find -lLLVM.
            .env("LLVM_PREFIX", LLVM)
            .env("LLVM_SYS_221_PREFIX", LLVM);
    }
    command.args(["--locked", "--force", "--root"]).arg(target.join("tools"));
    shell::long("building bpf-linker", "bpf-linker", command)
        .context("the eBPF linker cannot be installed")?;
    Ok(true)
}

fn runs(linker: &Path) -> bool {
    let mut command = Command::new(linker);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the programs are built by the distribution's compiler, and not by a nightly that
/// rustup has brought with the source of `core`.
pub(super) fn distribution() -> bool {
    ebpf::toolchain().is_none_or(|toolchain| toolchain.rustc.starts_with("/usr"))
}
