//! Why a driver cannot do what it was asked, for people.

use std::io;

use crate::{
    kernel,
    model::{DriverName, Name},
    plugin,
};

/// Why a driver cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such driver.
    #[error(
        "there is no driver {name}: use one of {known}, or a plugin, of which none is called so in {dirs}"
    )]
    Unknown {
        /// The name.
        name: DriverName,
        /// Those that need no plugin.
        known: String,
        /// Where plugins are looked for.
        dirs: String,
    },
    /// It does not know the option.
    #[error("driver {driver} has no option {option}: it has {known}")]
    Option {
        /// The driver.
        driver: String,
        /// The option.
        option: String,
        /// Those it has.
        known: String,
    },
    /// The option's value is unusable.
    #[error("option {option}={value}: {reason}")]
    Value {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The same option in two of the ways to write it.
    #[error("options {one} and {other} are the same: give one of them")]
    Twice {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// The network lacks what the driver gave it, or the host what the network needs.
    #[error("network {network}: {reason}")]
    Network {
        /// The network.
        network: Name,
        /// What is wrong.
        reason: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The plugin refused, or cannot be asked.
    #[error(transparent)]
    Plugin(#[from] plugin::Error),
    /// The plugin said what cannot be used, and was told to undo it.
    #[error("{0}; rolled back")]
    RolledBack(plugin::Error),
    /// What a plugin is told cannot be noted.
    #[error(transparent)]
    Journal(#[from] io::Error),
    /// A plugin has been asked, and has not answered yet.
    #[error("a plugin has not answered yet")]
    Pending,
}
