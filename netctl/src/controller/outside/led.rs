//! Whom questions for names were meant for that the table leads to our own servers.

use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::{
    discovery::Led,
    kernel::{self, FlowEnd, Flows, Netns},
    model::Transport,
};

/// Asks the kernel, which remembers where each flow went before it was led elsewhere.
#[derive(Debug)]
pub(in crate::controller) struct LedFlows {
    netns: Netns,
    /// Once it was needed.
    flows: Mutex<Option<Flows>>,
}

impl LedFlows {
    pub(in crate::controller) fn new(netns: Netns) -> Self {
        Self { netns, flows: Mutex::default() }
    }

    async fn asked(
        &self,
        began: SocketAddr,
        answering: FlowEnd,
    ) -> Result<Option<FlowEnd>, kernel::Error> {
        let mut kept = self.flows.lock().await;
        let flows = match &*kept {
            Some(flows) => flows.clone(),
            None => kept.insert(self.netns.flows().await?).clone(),
        };
        drop(kept);
        flows.asked(began, answering).await
    }
}

#[async_trait]
impl Led for LedFlows {
    async fn meant(
        &self,
        transport: Transport,
        asker: SocketAddr,
        here: SocketAddr,
    ) -> Option<SocketAddr> {
        let answering =
            FlowEnd { address: here.ip(), protocol: transport.number(), port: here.port() };
        match self.asked(asker, answering).await {
            Ok(asked) => asked.filter(|asked| *asked != answering).map(|asked| {
                let FlowEnd { address, port, .. } = asked;
                SocketAddr::new(address, port)
            }),
            Err(error) => {
                tracing::debug!(%asker, %error, "it is not known whom a question was meant for");
                // The next gets a socket of its own.
                *self.flows.lock().await = None;
                None
            }
        }
    }
}
