//! The daemon's log, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Reads what to log: `info`, or `info,netctl::store=debug`.
pub(super) fn filter(text: &str) -> Result<EnvFilter, String> {
    let levels =
        "write error, warn, info, debug, trace or off, or MODULE=LEVEL, with commas between";
    // To the filter a word by itself may be a module too, which hides each misspelt level, and nothing is a level.
    for directive in text.split(',') {
        let level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !directive.contains('=') && !level {
            return Err(format!("{directive:?} is no level: {levels}"));
        }
    }
    EnvFilter::builder().parse(text).map_err(|error| format!("{error}: {levels}"))
}

/// Logs what `filter` lets through. What was set up before in this process stays.
pub(super) fn start(filter: EnvFilter) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if log.try_init().is_err() {
        tracing::debug!("the log was set up before");
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn levels_and_modules() {
        for good in ["info", "off", "WARN", "info,netctl::store=debug", "netctl=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,", "netctl=loud", "info,chatty"] {
            let why = filter(bad).expect_err(bad);
            assert!(why.contains("write error, warn, info"), "{why}");
        }
    }
}
