//! The CNI plugin (CNI specification 1.1.0): what container runtimes start, once for each request, to have a container
//! join a network and leave it.
//!
//! It is this same program by another file name. A request is in the environment and on standard input, its answer goes
//! to standard output; what is to be done, the daemon does, in one operation for each request.

mod add;
mod args;
mod call;
mod check;
mod config;
mod error;
#[cfg(test)]
mod fuzz;
mod inside;
mod result;
mod runtime;
mod version;

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use serde_json::{Value, json};
use tokio::runtime::Builder;

use self::{
    call::{Attachment, Call, Verb},
    config::Head,
    error::{Code, Error, Result},
    version::Version,
};
pub use self::{config::SOCKET, runtime::CAPABILITIES};
use crate::{
    api::Client,
    model::{ContainerDevice, LeaveSpec, RetainSpec},
};

/// The file name by which the program is the plugin.
pub const NAME: &str = "netctl-cni";

/// The versions of the specification that are spoken.
pub fn versions() -> [&'static str; 4] {
    Version::ALL.map(Version::as_str)
}

/// Whether this process was started to be the plugin.
pub fn is_meant() -> bool {
    let program = env::args_os().next();
    program.as_deref().map(Path::new).and_then(Path::file_name) == Some(NAME.as_ref())
}

/// Does what the environment and standard input ask for.
pub fn run() -> ExitCode {
    let call = Call::read(env::var, io::stdin());
    let version = call.version();
    let (answer, code) = match call.verb().and_then(|verb| answer(&call, verb)) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => (Some(error.to_json(version)), ExitCode::FAILURE),
    };
    let Some(answer) = answer else { return code };
    // Where nobody reads, the exit code has to say it all.
    drop(writeln!(io::stdout(), "{answer}"));
    code
}

fn answer(call: &Call, verb: Verb) -> Result<Option<Value>> {
    if verb == Verb::Version {
        return Ok(Some(json!({
            "cniVersion": call.version().as_str(),
            "supportedVersions": versions(),
        })));
    }
    let head = Head::read(call)?;
    head.version.check(verb)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::new(Code::Io, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let done = tokio::time::timeout(head.timeout, ask(call, verb, &head)).await;
        done.unwrap_or_else(|_elapsed| {
            let socket = head.socket.display();
            let why = format!(
                "netctl daemon at {socket} has not answered within {} s: see its log",
                head.timeout.as_secs()
            );
            let error = Error::new(Code::TryAgainLater, why);
            Err(if verb == Verb::Status { error.of_status() } else { error })
        })
    })
}

async fn ask(call: &Call, verb: Verb, head: &Head) -> Result<Option<Value>> {
    let client = Client::new(&head.socket);
    match verb {
        Verb::Add => add::add(call, head, &client).await.map(Some),
        Verb::Del => {
            let Attachment { container, device } = call.attachment()?;
            let attachment = ContainerDevice { container, device };
            let spec = LeaveSpec { configuration: head.name.clone(), attachment };
            client.leave(&spec).await?;
            Ok(None)
        }
        Verb::Check => check::check(call, head, &client).await.map(|()| None),
        Verb::Gc => {
            let spec = RetainSpec { configuration: head.name.clone(), keep: head.valid()? };
            client.retain(&spec).await?;
            Ok(None)
        }
        Verb::Status => check::status(&client).await.map(|()| None),
        Verb::Version => Ok(None),
    }
}
