//! A headless Chromium on a host, driven by its own protocol over a pipe.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{sys::signal::killpg, unistd::Pid};
use serde_json::{Value, json};
use testbed::{Host, Lab, Signal, eventually, output_fed};

/// How long the browser may take for one command: it starts slowly beside others.
const PATIENCE: Duration = Duration::from_mins(1);
/// Within which the page shows what has happened: it looks every two seconds, and rates take two looks.
const SOON: Duration = Duration::from_secs(30);
/// The browser reads commands from descriptor 3 and answers on 4.
const PIPES: &str = "exec 3<&0 4>&1 0</dev/null 1>&2; exec \"$@\"";

/// Night or day.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<Value>,
    session: Option<String>,
    number: u64,
    /// What the page did wrong: exceptions, and what its policy refused.
    complaints: Vec<String>,
    /// All that was asked for.
    requests: Vec<String>,
}

impl Browser {
    /// Starts one on the host, with files of its own in the lab, and shows `url`.
    pub(crate) fn open(lab: &Lab, host: &Host, url: &str) -> Result<Self> {
        let profile = format!("--user-data-dir={}/browser-{}", lab.dir().display(), host.name());
        let chromium = [
            "chromium-headless-shell",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            &profile,
        ];
        let mut command: Command = host.command(["sh", "-c", PIPES, "sh"].iter().chain(&chromium));
        let log = fs::File::create(lab.dir().join(format!("browser-{}.log", host.name())))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().context("cannot start chromium-headless-shell")?;
        let commands = child.stdin.take().context("no pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("no pipe")?);
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            while let Ok(1..) = output.read_until(0, &mut bytes) {
                bytes.pop();
                let Ok(message) = serde_json::from_slice(&bytes) else { break };
                if sender.send(message).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            answers,
            session: None,
            number: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &target)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        browser.size(1280, 800)?;
        browser.call("Page.navigate", &json!({ "url": url }))?;
        Ok(browser)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(&serde_json::to_vec(&message)?)?;
        self.commands.write_all(&[0])?;
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let answer = answer.with_context(|| format!("{method}: no answer of the browser"))?;
            if answer["id"] == self.number {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(parameters["exceptionDetails"].to_string());
            }
            // That the daemon does not answer is for the page to say, and no mistake of it.
            Some("Log.entryAdded") if parameters["entry"]["source"] != "network" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
    }

    /// What an expression is on the page; a promise is waited for.
    pub(crate) fn ask(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &parameters)?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// The text of what a selector finds first, as people see it.
    pub(crate) fn text(&mut self, selector: &str) -> Result<String> {
        let text = self.ask(&format!(
            "(e => e?.innerText ?? e?.textContent)(document.querySelector({selector:?}))"
        ))?;
        Ok(text.as_str().with_context(|| format!("no {selector}"))?.to_owned())
    }

    /// Each row of a table as the texts of its cells.
    pub(crate) fn rows(&mut self, table: &str) -> Result<Vec<Vec<String>>> {
        let rows = format!("[...document.querySelectorAll('#{table} tbody tr')]");
        let cells = "map(row => [...row.children].map(cell => cell.innerText))";
        Ok(serde_json::from_value(self.ask(&format!("{rows}.{cells}"))?)?)
    }

    /// Waits until an expression is true on the page; what the page says otherwise goes into the error.
    pub(crate) fn until(&mut self, expression: &str) -> Result<()> {
        eventually(&format!("the page has {expression}"), SOON, || {
            let seen = self.ask(expression)?;
            ensure!(seen == true, "{seen}; the page says: {}", self.text("body")?);
            Ok(())
        })
    }

    /// Waits until a text stands in what a selector finds.
    pub(crate) fn shows(&mut self, selector: &str, text: &str) -> Result<()> {
        self.until(&format!(
            "document.querySelector({selector:?})?.textContent.includes({text:?}) ?? false"
        ))
    }

    /// Presses a key, by its name.
    pub(crate) fn press(&mut self, key: &str) -> Result<()> {
        // What the keys do by themselves follows from their codes.
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => bail!("no key {key}"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let parameters = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", &parameters)?;
        }
        Ok(())
    }

    pub(crate) fn size(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Looks at the page on screens of three sizes, by day and by night: nothing may stand out at the side. The pictures are
    /// in `target/tmp/web` afterwards.
    pub(crate) fn pictures(&mut self, name: &str) -> Result<()> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web");
        fs::create_dir_all(&dir)?;
        for (width, height) in [(1280, 800), (1920, 1080), (390, 844)] {
            self.size(width, height)?;
            for scheme in [Scheme::Light, Scheme::Dark] {
                let path = dir.join(format!("{name}-{width}-{scheme:?}.png").to_lowercase());
                self.picture(&path, scheme)?;
            }
            let out = self.ask(
                "[...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll, .hidden') \
                 && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 200))",
            )?;
            ensure!(out == json!([]), "{name}: at {width} these stand out: {out}");
        }
        self.size(1280, 800)
    }

    fn picture(&mut self, path: &PathBuf, scheme: Scheme) -> Result<()> {
        let scheme = format!("{scheme:?}").to_lowercase();
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": feature }))?;
        // Two frames: one that has the new size, and one after what follows from it.
        let frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))";
        self.ask(frames)?;
        let parameters = json!({ "format": "png", "captureBeyondViewport": false });
        let picture = self.call("Page.captureScreenshot", &parameters)?;
        let mut decode = Command::new("sh");
        decode.args(["-c", "base64 -d >\"$0\""]).arg(path);
        let data = picture["data"].as_str().context("no picture")?;
        output_fed(decode, data, PATIENCE)?.ok().map(drop)
    }

    /// Fails where the page made a mistake, or asked for what is not its own.
    pub(crate) fn close(mut self, url: &str) -> Result<()> {
        self.ask("1")?;
        ensure!(self.complaints.is_empty(), "{:#?}", self.complaints);
        let foreign: Vec<&String> =
            self.requests.iter().filter(|asked| !asked.starts_with(url)).collect();
        ensure!(foreign.is_empty(), "{foreign:#?}");
        ensure!(self.requests.iter().any(|asked| asked.ends_with("/scene.json")));
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _status = self.child.wait();
    }
}
