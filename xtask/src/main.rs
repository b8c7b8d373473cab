//! The project's own tasks: `cargo xtask --help`.
#![expect(clippy::print_stderr, reason = "errors are for the person at the terminal")]

#[macro_use]
mod say;

mod bench;
mod build_ebpf;
mod demo;
mod ebpf;
mod lab;
mod measure;
mod package;
mod setup;
mod shell;
mod soak;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own tasks")]
enum Task {
    /// Install what building and testing need, if something is missing
    Setup(setup::Options),
    /// Build the eBPF programs and show what is in the object
    BuildEbpf(build_ebpf::Options),
    /// Run all tests, on the host and over real namespaces, daemons and packets
    Test(test::Options),
    /// Show two hosts, one network, and containers that find each other by name
    Demo(demo::Options),
    /// Compare the overlay with the kernel's own and with none, in one run
    Bench(bench::Options),
    /// Build what people install: a package for Debian, and an archive
    Package(package::Options),
    /// Hosts to play with: namespaces with real daemons
    Lab(lab::Options),
}

fn main() -> ExitCode {
    match dispatch(Task::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", say::bad("error:"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup(options) => setup::run(options),
        Task::BuildEbpf(options) => build_ebpf::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Package(options) => package::run(options),
        Task::Lab(options) => return lab::run(options),
    }
    .map(|()| ExitCode::SUCCESS)
}
