//! Printing results: for people, for programs, or identifiers alone.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    pin::pin,
    process::ExitCode,
};

use clap::ValueEnum;
use serde::Serialize;

use super::{Error, Result, table::Table};
use crate::api::client;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What every `ls` knows.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Print ids at full length
    #[arg(long)]
    no_trunc: bool,
}

impl ListArgs {
    /// An id as it is to be shown.
    pub(super) fn id(&self, id: &str) -> String {
        let shown = if self.no_trunc { id } else { id.get(..12).unwrap_or(id) };
        shown.to_owned()
    }
}

/// Standard output.
pub(super) struct Output {
    out: io::Stdout,
    format: Option<Format>,
    colour: bool,
}

impl Output {
    /// Prints as `format` says, else as the command finds best.
    pub(super) fn new(format: Option<Format>) -> Self {
        let out = io::stdout();
        let colour =
            out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out, format, colour }
    }

    /// Prints a list of things with ids.
    pub(super) fn list<T: Serialize>(
        &self,
        args: &ListArgs,
        things: &[T],
        id: impl Fn(&T) -> &str,
        table: impl FnOnce(&ListArgs, &[T]) -> Table,
    ) -> Result {
        if args.quiet {
            let ids = lines(things.iter().map(|thing| args.id(id(thing))));
            self.print(&ids)
        } else {
            self.show(things, |things| self.paint(table(args, things)))
        }
    }

    /// Whether what is printed is for programs.
    pub(super) fn is_json(&self) -> bool {
        self.format == Some(Format::Json)
    }

    /// Prints something that has a form for people.
    pub(super) fn show<T: Serialize + ?Sized>(
        &self,
        thing: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result {
        match self.format {
            Some(Format::Json) => self.json(thing),
            Some(Format::Table) | None => self.print(&text(thing)),
        }
    }

    /// Prints JSON unless a table was asked for.
    pub(super) fn inspect<T: Serialize>(
        &self,
        things: &[T],
        text: impl Fn(&T) -> String,
    ) -> Result {
        match self.format {
            Some(Format::Table) => {
                self.print(&things.iter().map(text).collect::<Vec<_>>().join("\n"))
            }
            Some(Format::Json) | None => self.json(things),
        }
    }

    /// The text of a table, its header bold on a terminal.
    pub(super) fn paint(&self, table: Table) -> String {
        if self.colour { table.bold().to_string() } else { table.to_string() }
    }

    /// Prints text as it is.
    pub(super) fn print(&self, text: &str) -> Result {
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    fn json<T: Serialize + ?Sized>(&self, thing: &T) -> Result {
        let mut text = serde_json::to_string_pretty(thing).map_err(io::Error::from)?;
        text.push('\n');
        self.print(&text)
    }
}

/// One line for each.
pub(super) fn lines(things: impl IntoIterator<Item = impl Display>) -> String {
    things.into_iter().fold(String::new(), |lines, thing| lines + &thing.to_string() + "\n")
}

/// Calls the daemon once for each of several names, past those that fail; gives what was had and what failed.
pub(super) async fn each<N: Clone, T, F>(
    names: &[N],
    call: impl Fn(N) -> F,
) -> (Vec<T>, std::result::Result<(), Error>)
where
    F: Future<Output = client::Result<T>>,
{
    let (mut had, mut failed) = (Vec::new(), Vec::new());
    for name in names {
        match pin!(call(name.clone())).await {
            Ok(thing) => had.push(thing),
            Err(error @ (client::Error::Unreachable { .. } | client::Error::Denied { .. })) => {
                failed.push(error);
                break;
            }
            Err(error) => failed.push(error),
        }
    }
    let outcome = if failed.is_empty() { Ok(()) } else { Err(Error::Requests(failed)) };
    (had, outcome)
}
