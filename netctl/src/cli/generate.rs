//! `netctl completions` and `netctl man`: what is generated from the command line's own description.

use std::{io, path::PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Context, Error, Result};

/// `netctl completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netctl completions bash > /usr/share/bash-completion/completions/netctl
  netctl completions zsh > /usr/share/zsh/site-functions/_netctl
  netctl completions fish > /usr/share/fish/vendor_completions.d/netctl.fish")]
pub(super) struct Completions {
    /// Shell to complete for
    shell: Shell,
}

/// `netctl man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netctl man | man -l -                   read the page of netctl itself
  netctl man /usr/share/man/man1          write the pages of all commands")]
pub(super) struct Man {
    /// Directory to write a page for each command to; the page of netctl itself is printed where none is given
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self, Context { output, .. }: &Context) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "netctl", &mut script);
        output.print(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    pub(super) fn run(&self, Context { output, .. }: &Context) -> Result {
        let Some(dir) = &self.dir else {
            return output.print(&page(&whole())?);
        };
        let mut written = Vec::new();
        for (name, page) in pages()? {
            let file = dir.join(name);
            std::fs::write(&file, page)
                .map_err(|source| Error::File { path: file.clone(), source })?;
            written.push(file.display().to_string());
        }
        written.sort();
        output.print(&super::output::lines(written))
    }
}

/// The whole command line, without the commands that only explain others.
fn whole() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The pages of all commands, each with the name of its file.
pub(super) fn pages() -> io::Result<Vec<(String, String)>> {
    let (mut pages, mut left) = (Vec::new(), vec![whole()]);
    while let Some(command) = left.pop() {
        pages.push((format!("{}.1", name(&command)), page(&command)?));
        left.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
    }
    Ok(pages)
}

/// `netctl-network-create`, as manual pages of such commands are called.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
