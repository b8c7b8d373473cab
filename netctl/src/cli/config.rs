//! `netctl config`.

use std::{ffi::OsString, fmt};

use clap::{ArgMatches, Args as _, CommandFactory as _, parser::ValueSource};
use serde::Serialize;

use super::{
    Cli, Context, Result,
    settings::{FileArgs, Options, Settings},
    table::Table,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show every setting, and where it is from
    Show(Box<Args>),
}

/// The arguments of `netctl daemon`, so that a command line of its can be looked at before it is used.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    file: FileArgs,
}

/// Where a setting is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    CommandLine,
    Environment,
    File,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CommandLine => "command line",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// One setting.
#[derive(Debug, Serialize)]
struct Setting {
    #[serde(rename = "setting")]
    name: String,
    /// None where it is left to the daemon to find, or there is none.
    value: Option<String>,
    source: Source,
}

impl Command {
    pub(super) fn run(self, Context { output, .. }: &Context) -> Result {
        let Self::Show(args) = self;
        let Args { options, file } = *args;
        let from_file = file.read()?;
        // What clap merged into one is told apart by what it matched.
        let matches =
            Cli::command().get_matches_from(std::env::args_os().collect::<Vec<OsString>>());
        let given = |setting: &str| given(innermost(&matches), setting);
        let effective =
            Settings::new(options.clone().over(from_file.clone()))?.shown(&options, &from_file);
        let in_file = from_file.entries();
        let settings: Vec<Setting> = effective
            .entries()
            .into_iter()
            .map(|(name, value)| {
                let source = given(&name).unwrap_or_else(|| {
                    let written =
                        in_file.iter().any(|(other, value)| *other == name && value.is_some());
                    if written { Source::File } else { Source::Default }
                });
                Setting { name, value, source }
            })
            .collect();
        output.show(&settings, |settings| {
            let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
            for Setting { name, value, source } in settings {
                let value = value.clone().unwrap_or_else(|| "-".to_owned());
                table.row([name.clone(), value, source.to_string()]);
            }
            output.paint(table)
        })
    }
}

/// Of the subcommand's subcommand.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

fn given(matches: &ArgMatches, setting: &str) -> Option<Source> {
    // Its option has the setting's name; what clap calls it is its own affair.
    let options = Options::augment_args(clap::Command::new("netctl"));
    let option = options.get_arguments().find(|option| option.get_long() == Some(setting))?;
    let source = matches.value_source(option.get_id().as_str())?;
    if source == ValueSource::CommandLine {
        return Some(Source::CommandLine);
    }
    (source == ValueSource::EnvVariable).then_some(Source::Environment)
}
