//! Builds the eBPF programs, and shows what came out.

use std::fs;

use anyhow::{Context as _, Error, Result, ensure};
use clap::Args;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind, SymbolScope};

use crate::{ebpf, say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// Only check the programs for lints, which are errors
    #[arg(long)]
    clippy: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    if options.clippy {
        return clippy();
    }
    let path = ebpf::build(shell::root(), &shell::target()?).map_err(Error::msg)?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let programs = programs(&bytes)
        .with_context(|| format!("{} is not an object that can be read", path.display()))?;
    ensure!(!programs.is_empty(), "{} holds no program", path.display());
    say::done(&format!("{}, {} bytes", path.display(), bytes.len()));
    out!("\n  {:<24} {:<16} {:>12}", "PROGRAM", "SECTION", "INSTRUCTIONS");
    for Program { name, section, instructions } in programs {
        out!("  {name:<24} {section:<16} {instructions:>12}");
    }
    Ok(())
}

fn clippy() -> Result<()> {
    let manifest = "netctl-ebpf/Cargo.toml";
    let mut command = shell::cargo(&["clippy", "--locked", "--manifest-path", manifest]);
    command
        .arg("--target-dir")
        .arg(shell::target()?.join("ebpf-clippy"))
        .args(["--", "-D", "warnings"])
        // This machine's `core` unwinds, that of the programs' target does not.
        .env("CARGO_PROFILE_DEV_PANIC", "abort");
    let status = shell::wait(command)?;
    ensure!(status.success(), "the eBPF programs are not clean: clippy says why above");
    say::done("the eBPF programs are clean");
    Ok(())
}

struct Program {
    name: String,
    section: String,
    /// Of 8 bytes; a load of 64 bits counts as two.
    instructions: u64,
}

/// The functions that the kernel can attach: the global ones outside `.text`, which holds what
/// they call.
fn programs(bytes: &[u8]) -> Result<Vec<Program>> {
    let file: ElfFile64<'_> = ElfFile64::parse(bytes)?;
    let mut found = Vec::new();
    for symbol in file.symbols() {
        let callable =
            symbol.kind() == SymbolKind::Text && symbol.scope() != SymbolScope::Compilation;
        let Some(index) = symbol.section_index().filter(|_| callable) else { continue };
        let section = file.section_by_index(index)?.name()?.to_owned();
        if section != ".text" {
            let name = symbol.name()?.to_owned();
            found.push(Program { name, section, instructions: symbol.size() / 8 });
        }
    }
    Ok(found)
}
