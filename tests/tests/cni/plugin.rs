//! The plugin as a runtime starts it.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Netns, Process, eventually, output_fed};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the plugin answered.
#[derive(Debug)]
pub(crate) struct Answer {
    success: bool,
    /// What it wrote to stdout; null for nothing.
    pub(crate) said: Value,
}

impl Answer {
    /// What it wrote where it must have succeeded.
    pub(crate) fn ok(self) -> Result<Value> {
        ensure!(self.success, "the plugin failed: {}", self.said);
        Ok(self.said)
    }

    /// Fails unless it failed, as the specification has it, with this code and just this sentence.
    pub(crate) fn refused(self, code: u32, sentence: &str) -> Result<()> {
        let Self { success, said } = self;
        let right = !success
            && said["code"] == code
            && said["msg"] == sentence
            && said["cniVersion"].is_string();
        ensure!(right, "expected {code} {sentence:?}: {said}");
        Ok(())
    }
}

/// Starts the plugin on a host with this environment, and with `input` on its standard input.
pub(crate) fn call(host: &Host, environment: &[(&str, &str)], input: &str) -> Result<Answer> {
    let mut command = host.command(["netctl-cni"]);
    command.envs(environment.iter().copied());
    let output = output_fed(command, input, DEADLINE)?;
    ensure!(output.stderr.is_empty(), "it wrote to stderr: {output:?}");
    let said = match output.stdout.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))?,
    };
    Ok(Answer { success: output.success(), said })
}

/// The network configuration `dev` of version 1.1.0, as a runtime gives it to the plugin, with these fields besides.
pub(crate) fn configuration(host: &Host, further: &Value) -> Value {
    let mut conf = json!({
        "cniVersion": "1.1.0", "name": "dev", "type": "netctl-cni", "socket": host.socket(),
    });
    let fields = further.as_object().into_iter().flatten();
    for (key, value) in fields {
        conf[key] = value.clone();
    }
    conf
}

/// One interface of a container, as a runtime asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Attachment<'a> {
    pub(crate) host: &'a Host,
    pub(crate) container: String,
    pub(crate) netns: String,
    pub(crate) device: String,
    pub(crate) arguments: String,
    pub(crate) configuration: Value,
    /// What plugins before it in a chain gave.
    pub(crate) before: Value,
}

impl<'a> Attachment<'a> {
    /// `eth0` on `dev`.
    pub(crate) fn new(host: &'a Host, container: &str, netns: &std::path::Path) -> Self {
        Self {
            host,
            container: container.to_owned(),
            netns: netns.display().to_string(),
            device: "eth0".to_owned(),
            arguments: String::new(),
            configuration: configuration(host, &Value::Null),
            before: Value::Null,
        }
    }

    /// The same with this in its network configuration.
    pub(crate) fn with(mut self, further: &Value) -> Self {
        for (key, value) in further.as_object().into_iter().flatten() {
            self.configuration[key] = value.clone();
        }
        self
    }

    pub(crate) fn ask(&self, verb: &str) -> Result<Answer> {
        let environment = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", &self.container),
            ("CNI_NETNS", &self.netns),
            ("CNI_IFNAME", &self.device),
            ("CNI_ARGS", &self.arguments),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        call(self.host, &environment, &self.configuration.to_string())
    }

    /// ADD, which must succeed; its result is `prevResult` from then on.
    pub(crate) fn add(&mut self) -> Result<Value> {
        self.configuration["prevResult"] = self.before.clone();
        let result = self.ask("ADD")?.ok()?;
        self.configuration["prevResult"] = result.clone();
        Ok(result)
    }

    /// DEL or CHECK, which must succeed and say nothing.
    pub(crate) fn silent(&self, verb: &str) -> Result<()> {
        let said = self.ask(verb)?.ok()?;
        ensure!(said.is_null(), "{verb} says {said}");
        Ok(())
    }
}

/// A process that is in a namespace, and its namespace's path as some runtimes have it.
pub(crate) fn inhabitant(netns: &Netns, name: &str) -> Result<(Process, String)> {
    let process = netns.spawn(name, ["sleep", "1d"])?;
    let path = format!("/proc/{}/ns/net", process.pid());
    eventually("the process is in its namespace", DEADLINE, || {
        let (own, wanted) = (fs::metadata(&path)?, fs::metadata(netns.path())?);
        ensure!((own.dev(), own.ino()) == (wanted.dev(), wanted.ino()), "it is in another");
        Ok(())
    })?;
    Ok((process, path))
}
