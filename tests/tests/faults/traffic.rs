//! Two containers on two hosts that talk all the while: an echo each way a hundred times a second, and a stream.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Netns};

use crate::{echoes::Echoes, stream::Stream};

/// What goes on between `box1` on host 1 and `box2` on host 2.
pub(crate) struct Traffic {
    echoes: [Echoes; 2],
    stream: Stream,
}

impl Traffic {
    /// Makes both containers, of services `a` and `b` of the network `dev`, which is made too.
    pub(crate) fn furnish(lab: &Lab) -> Result<()> {
        lab.host(1).ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
        lab.host(1).ok(["run", "--name", "box1", "--publish-service", "a.dev", "true"])?;
        lab.host(2).ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
        lab.host(1).run(["netctl", "exec", "box1", "ping", "-c", "1", "b"])?.ok().map(drop)
    }

    /// Begins, an echo each way every `pause` seconds.
    pub(crate) fn start(lab: &Lab, pause: &str) -> Result<Self> {
        let (h1, h2) = (lab.host(1), lab.host(2));
        let (a, b) = ("10.1.0.2", "10.1.0.3");
        Ok(Self {
            echoes: [
                Echoes::start(h1, "box1", b, pause, "echoes-1")?,
                Echoes::start(h2, "box2", a, pause, "echoes-2")?,
            ],
            stream: Stream::start(&netns(lab, h1, "box1")?, &netns(lab, h2, "box2")?, b.parse()?)?,
        })
    }

    pub(crate) fn goes_on(&mut self) -> Result<()> {
        self.echoes.iter_mut().try_for_each(Echoes::goes_on)?;
        self.stream.goes_on()
    }

    /// How many echoes were answered in each direction, at least.
    pub(crate) fn answered(&self) -> usize {
        self.echoes.iter().map(Echoes::answered).min().unwrap_or_default()
    }

    /// Ends it, and says how many echoes were sent and how many of those lost, in the direction that lost more; fails where
    /// the stream is not whole.
    pub(crate) fn end(self) -> Result<(usize, usize)> {
        let ended = self.echoes.into_iter().map(|echoes| {
            let (sent, lost) = echoes.end()?;
            Ok((sent, lost.len()))
        });
        let ended = ended.collect::<Result<Vec<_>>>()?;
        self.stream.end()?;
        ended.into_iter().max_by_key(|(_, lost)| *lost).context("no echoes")
    }

    /// Ends it, and fails where any echo was lost.
    pub(crate) fn end_whole(self) -> Result<()> {
        let (sent, lost) = self.end()?;
        ensure!(lost == 0, "{lost} of {sent} echoes were lost");
        Ok(())
    }
}

/// Shows a figure that is looked at and not asserted.
#[expect(clippy::print_stdout, reason = "the harness shows it with `--nocapture`")]
pub(crate) fn tell(figure: std::fmt::Arguments<'_>) {
    println!("{figure}");
}

fn netns(lab: &Lab, host: &Host, sandbox: &str) -> Result<Netns> {
    let shown: Value = serde_json::from_str(&host.ok(["sandbox", "inspect", sandbox])?)?;
    let path = shown[0]["netns"].as_str().context("no namespace")?;
    Ok(Netns::open(lab.dir(), path.as_ref()))
}
