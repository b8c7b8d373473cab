//! Hosts to play with, and for scripts to drive: namespaces with real daemons that stay up.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Error, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use testbed::{Host, Lab, Run, Signal};

use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// Where the lab lives; another directory is another lab
    #[arg(long, global = true, default_value = "/run/netctl-lab", env = "NETCTL_LAB_DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make hosts h1, h2, … with a daemon each, and `external` outside every network
    Up {
        /// How many hosts with a daemon
        #[arg(long, default_value_t = 2)]
        hosts: u8,
        /// What the daemons share
        #[arg(long, value_enum, default_value_t = Store::File)]
        store: Store,
        /// The underlay's MTU in bytes
        #[arg(long, default_value_t = 1500)]
        mtu: u32,
    },
    /// Take everything down, also what a crash has left
    Down,
    /// Run a command on a host, where `netctl` is that host's own
    Exec {
        host: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Open a shell on a host
    Shell { host: String },
    /// End a host's daemon and start it again; its containers stay
    Restart {
        host: String,
        /// The signal that ends it: TERM, KILL, INT, …
        #[arg(long, default_value = "TERM", value_parser = signal)]
        signal: Signal,
    },
}

/// `--store` of the lab and the demo.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Store {
    /// The embedded store: one file
    File,
    /// A real etcd on the underlay
    Etcd,
}

impl From<Store> for testbed::Store {
    fn from(store: Store) -> Self {
        match store {
            Store::File => Self::File,
            Store::Etcd => Self::Etcd,
        }
    }
}

fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}")
        .parse()
        .map_err(|_unknown| format!("{text} is no signal: try TERM or KILL"))
}

pub(crate) fn run(options: Options) -> Result<ExitCode> {
    ensure!(testbed::is_root(), "the lab is made of network namespaces and needs root: use sudo");
    let Options { dir, verb } = options;
    match verb {
        Verb::Up { hosts, store, mtu } => {
            // Each host's page is on its own loopback: nobody else gets there.
            let arguments = vec!["--web-listen".to_owned()];
            let store = store.into();
            let options =
                testbed::Options { hosts, store, mtu, arguments, ..testbed::Options::default() };
            up(Run::wait(&dir)?, options)?;
        }
        Verb::Down => down(Run::wait(&dir)?)?,
        Verb::Exec { host, command } => {
            let lab = open(&dir)?;
            return Err(replace(lab.find(&host)?.command(&command)));
        }
        Verb::Shell { host } => {
            let lab = open(&dir)?;
            return Err(replace(interactive(&lab, lab.find(&host)?)?));
        }
        Verb::Restart { host, signal } => {
            let lab = open(&dir)?;
            restart(lab, &host, signal)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(dir: &Path) -> Result<Lab> {
    Lab::open(Run::wait(dir)?)?.context("no lab is up: run `cargo xtask lab up`")
}

/// Becomes the command; returns only if that fails. The lock on the lab is closed on the way.
fn replace(mut command: Command) -> Error {
    Error::new(command.exec()).context("cannot run the command")
}

fn up(run: Run, options: testbed::Options) -> Result<()> {
    let dir = run.dir().to_owned();
    if let Some(lab) = Lab::open(run)? {
        return adopt(lab, &options);
    }
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    shell::build_netctl()?;
    let lab = Lab::start_in(Run::wait(&dir)?, options)?;
    say::done(&format!("the lab is up in {}", dir.display()));
    show(&lab);
    lab.keep()
}

/// A lab that is up stays as it is; daemons that have died are started again.
fn adopt(lab: Lab, wanted: &testbed::Options) -> Result<()> {
    let is = lab.options();
    if is.hosts != wanted.hosts || is.store != wanted.store || is.mtu != wanted.mtu {
        bail!(
            "a lab of {} hosts on the store {} with MTU {} is up: take it down first with \
             `cargo xtask lab down`",
            is.hosts,
            is.store,
            is.mtu
        );
    }
    say::done("the lab is up already");
    let mut dead = lab.hosts().iter().filter(|host| host.daemon_pid().is_none()).peekable();
    if dead.peek().is_none() {
        show(&lab);
        return Ok(());
    }
    for host in dead {
        lab.start_daemon(host)?;
        say::done(&format!("the daemon of {} had ended: started again", host.name()));
    }
    show(&lab);
    lab.keep()
}

fn show(lab: &Lab) {
    out!("");
    for host in lab.hosts() {
        let pid = host.daemon_pid().unwrap_or_default();
        out!(
            "  {:<9} {:<13} netctl daemon, pid {pid}, log {}",
            say::strong(host.name()),
            host.address(),
            host.log_path().display()
        );
    }
    out!("  {:<9} {:<13} outside every network", say::strong("external"), lab.external().address());
    out!("  {:<9} {}", say::strong("store"), lab.store_of(lab.host(1)));
    out!("\nNow try:");
    out!(
        "  cargo xtask lab exec h1 -- netctl run --publish-service svc1.dev.overlay -- sleep 1d &"
    );
    out!("  cargo xtask lab exec h2 -- netctl run --publish-service svc2.dev.overlay -- ping svc1");
    out!("  cargo xtask lab exec h1 -- netctl trace svc1 svc2");
    out!("  cargo xtask lab shell h1    # where http://localhost:9470/ is the host's page");
}

fn down(run: Run) -> Result<()> {
    let there = run.dir().exists();
    run.end()?;
    say::done(if there { "the lab is down" } else { "no lab was up" });
    Ok(())
}

fn restart(lab: Lab, host: &str, signal: Signal) -> Result<()> {
    let found = lab.find(host)?;
    if found.daemon_pid().is_some() {
        lab.restart_daemon(found, signal)?;
    } else {
        lab.start_daemon(found)?;
    }
    say::done(&format!("the daemon of {host} was ended by {signal} and runs again"));
    lab.keep()
}

/// The person's own shell, with a prompt that says which host it is on.
fn interactive(lab: &Lab, host: &Host) -> Result<Command> {
    let rc = lab.dir().join("shellrc");
    fs::write(
        &rc,
        "[ -f ~/.bashrc ] && . ~/.bashrc\n\
         PATH=\"$LAB_PATH\"\n\
         PS1=\"[$LAB_HOST] \\w \\$ \"\n",
    )
    .context("cannot write the shell's settings")?;
    let mut command = host.command(["bash".as_ref(), "--rcfile".as_ref(), rc.as_os_str()]);
    let path = command
        .get_envs()
        .find_map(|(name, value)| value.filter(|_| name == "PATH"))
        .unwrap_or_default()
        .to_owned();
    command.env("LAB_HOST", host.name()).env("LAB_PATH", path);
    out!("You are on {}, {}; `exit` leads back.", host.name(), host.address());
    Ok(command)
}
