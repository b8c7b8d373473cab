//! Names: what the engine calls its containers and networks, which its plugin protocol does not tell.
//!
//! Events carry no truth here either; each only has one container looked at. When the engine begins to answer, all of them
//! are looked at, so that nothing depends on who was started first, or on having heard everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::engine::{Attached, Container, Engine, EngineError, Event};
use crate::{
    controller::{self, Controller},
    model::{EndpointId, Name},
};

/// How long after a failure the next attempt comes, at first; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
/// How long at most: an engine that was started is followed that soon.
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// How many containers are looked at at once.
const AT_ONCE: usize = 8;

/// The labels of compose: what a container is one of, and whether it only runs a command for that.
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Why names are not as the engine has them.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Controller(#[from] controller::Error),
}

/// Has networks and endpoints called as the engine calls them, until cancelled.
pub async fn follow(engine: Engine, controller: Arc<Controller>, cancel: CancellationToken) {
    let source = Arc::new(Source { engine, controller, turns: Semaphore::new(AT_ONCE) });
    let mut pause = PAUSE;
    let mut said = false;
    loop {
        let mut known = false;
        let followed = follow_once(&source, &mut known);
        let Some(ended) = cancel.run_until_cancelled(followed).await else { return };
        if known {
            (pause, said) = (PAUSE, false);
        }
        match ended {
            Ok(()) => tracing::debug!("Docker's engine has ended"),
            // Once: it may be away for long, and be started later than this daemon.
            Err(error) if !said => {
                tracing::info!(%error, "names of containers are not known for now");
                said = true;
            }
            Err(error) => tracing::debug!(%error, "names of containers are not known yet"),
        }
        if cancel.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Follows the engine until it ends, or something fails. From when on all is `known` that was there before, it says.
async fn follow_once(source: &Arc<Source>, known: &mut bool) -> Result<(), Failure> {
    // What happens from here on is either seen by the lists, or heard of afterwards.
    let mut events = source.engine.events().await?;
    for network in source.engine.networks().await? {
        source.name_network(&network.id, &network.name).await?;
    }
    let mut looks = Looks::default();
    for container in source.engine.containers().await? {
        let attached = container.network_settings.networks.values();
        if attached.into_iter().any(|attached| !attached.endpoint.is_empty()) {
            looks.at(source, &container.id);
        }
    }
    *known = true;
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Some(event) => source.take(&event, &mut looks).await?,
                None => return Ok(()),
            },
            Some(looked) = looks.next(source) => looked?,
        }
    }
}

/// Where names are from, and where they go.
#[derive(Debug)]
struct Source {
    engine: Engine,
    controller: Arc<Controller>,
    turns: Semaphore,
}

impl Source {
    async fn take(self: &Arc<Self>, event: &Event, looks: &mut Looks) -> Result<(), Failure> {
        let attribute = |key: &str| event.actor.attributes.get(key);
        match (event.kind.as_str(), event.action.as_str()) {
            ("network", "create") => {
                if let Some(name) = attribute("name") {
                    self.name_network(&event.actor.id, name).await?;
                }
            }
            ("network", "connect" | "disconnect") => {
                if let Some(container) = attribute("container") {
                    looks.at(self, container);
                }
            }
            ("container", "rename" | "start") => looks.at(self, &event.actor.id),
            _ => {}
        }
        Ok(())
    }

    async fn name_network(&self, id: &str, name: &str) -> Result<(), Failure> {
        if let Ok(id) = id.parse() {
            self.controller.name_engine_network(&id, name).await?;
        }
        Ok(())
    }

    async fn look(&self, container: &str) -> Result<(), Failure> {
        let _turn = self.turns.acquire().await;
        let Some(container) = self.engine.container(container).await? else { return Ok(()) };
        self.look_elsewhere(&container).await?;
        for attached in container.network_settings.networks.values() {
            let Ok(endpoint) = attached.endpoint.parse::<EndpointId>() else { continue };
            let Called { name, aliases } = Called::of(&container, attached);
            self.controller.name_engine_endpoint(&endpoint, name.as_ref(), &aliases).await?;
        }
        Ok(())
    }

    /// Sees whether a container is in networks that are not netctl's, by which it reaches name servers.
    async fn look_elsewhere(&self, container: &Container) -> Result<(), Failure> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for attached in container.network_settings.networks.values() {
            let Ok(endpoint) = attached.endpoint.parse::<EndpointId>() else { continue };
            if self.controller.is_engine_endpoint(&endpoint).await? {
                own.push(endpoint);
            } else {
                others.push(&attached.network);
            }
        }
        let mut elsewhere = false;
        for network in others.into_iter().filter(|_| !own.is_empty()) {
            let network = self.engine.network(network).await?;
            elsewhere |= network.is_some_and(|network| !network.internal);
        }
        Ok(self.controller.note_engine_container(&own, elsewhere)?)
    }
}

/// Looks at containers: one at a time at each, so that the last has the last word.
#[derive(Debug, Default)]
struct Looks {
    tasks: JoinSet<(String, Result<(), Failure>)>,
    /// Those that are being looked at, and whether that is to be done again.
    under_way: BTreeMap<String, bool>,
}

impl Looks {
    fn at(&mut self, source: &Arc<Source>, container: &str) {
        if let Some(again) = self.under_way.get_mut(container) {
            *again = true;
            return;
        }
        let (source, container) = (Arc::clone(source), container.to_owned());
        self.under_way.insert(container.clone(), false);
        self.tasks.spawn(async move {
            let looked = source.look(&container).await;
            (container, looked)
        });
    }

    /// Waits for one to end; none where none is under way. Cancelling the call loses none.
    async fn next(&mut self, source: &Arc<Source>) -> Option<Result<(), Failure>> {
        // One that panicked has said so itself.
        let (container, looked) = self.tasks.join_next().await?.ok()?;
        if self.under_way.remove(&container) == Some(true) {
            self.at(source, &container);
        }
        Some(looked)
    }
}

/// What a container is called in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Called {
    name: Option<Name>,
    aliases: Vec<Name>,
}

impl Called {
    /// What is no name for netctl, as one with a dot, is left out.
    fn of(container: &Container, attached: &Attached) -> Self {
        let labels = &container.config.labels;
        let one_off = labels.get(ONE_OFF).is_some_and(|value| value == "True");
        let service = labels.get(SERVICE).filter(|_| !one_off).map(String::as_str);
        let name: Option<Name> = container.name.trim_start_matches('/').parse().ok();
        let short = container.id.get(..12);
        let given = attached.aliases.iter().chain(&attached.names).map(String::as_str);
        let mut seen: BTreeSet<String> =
            name.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
        let aliases = given
            .chain(service)
            .chain(short)
            .filter_map(|alias| alias.parse::<Name>().ok())
            .filter(|alias| seen.insert(alias.as_str().to_ascii_lowercase()))
            .collect();
        Self { name, aliases }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_called_as_the_engine_has_it() {
        let id = "0123456789abcdef".repeat(4);
        let called = |name: &str, aliases: &[&str], labels: &[(&str, &str)]| {
            let text = serde_json::json!({
                "Id": id, "Name": name,
                "Config": {"Labels": labels.iter().copied().collect::<BTreeMap<_, _>>()},
                "NetworkSettings": {"Networks": {"dev": {"Aliases": aliases, "DNSNames": [name.trim_start_matches('/')]}}},
            });
            let container: Container = serde_json::from_value(text).expect("a container");
            let Called { name, aliases } =
                Called::of(&container, &container.network_settings.networks["dev"]);
            let aliases: Vec<String> = aliases.iter().map(ToString::to_string).collect();
            (name.map(|name| name.to_string()), aliases.join(" "))
        };
        let some = |text: &str| Some(text.to_owned());
        for (name, aliases, labels, expected) in [
            (
                "/web",
                &["www", "0123456789ab", "WEB"][..],
                &[][..],
                (some("web"), "www 0123456789ab"),
            ),
            ("/p_web_1", &["web"], &[(SERVICE, "web")], (some("p_web_1"), "web 0123456789ab")),
            ("/p_web_1", &[], &[(SERVICE, "web")], (some("p_web_1"), "web 0123456789ab")),
            (
                "/p_web_run_1",
                &[],
                &[(SERVICE, "web"), (ONE_OFF, "True")],
                (some("p_web_run_1"), "0123456789ab"),
            ),
            ("/a.b", &["c.d", "e"], &[], (None, "e 0123456789ab")),
        ] {
            let (called, rest) = called(name, aliases, labels);
            assert_eq!((called, rest.as_str()), expected, "{name}");
        }
    }
}
