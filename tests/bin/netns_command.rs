//! `netns-command NETNS RESOLV_CONF HOSTS COMMAND...`: runs a command in a namespace, and exits as it did.

use std::{env, path::Path, process::ExitCode};

use anyhow::Context as _;
use netctl::kernel::{Ended, Netns, NetnsCommand};

#[expect(clippy::print_stderr, reason = "it is what the tests read")]
fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let mut next = || arguments.next().context("NETNS RESOLV_CONF HOSTS COMMAND...");
    let (netns, resolv_conf, hosts, program) = (next()?, next()?, next()?, next()?);
    let netns = Netns::open(Path::new(&netns))?;
    let command = NetnsCommand::new(&netns, program)
        .arguments(arguments)
        .resolv_conf(resolv_conf)
        .hosts(hosts);
    Ok(ExitCode::from(match command.run()? {
        Ended::Ran(code) => code,
        Ended::NotStarted(code, sentence) => {
            eprintln!("{sentence}");
            code
        }
    }))
}
