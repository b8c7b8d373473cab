//! Events with names: what `netctl monitor` and `GET /v1/events` show.

mod dissect;

use std::time::SystemTime;

use netctl_common::{Direction, Outcome, Verdict};

use self::dissect::{Dissected, dissect};
use crate::{
    controller::{Controller, Stations},
    dataplane::{EventKinds, Listening, PacketEvent, Told},
    kernel::device_name,
    model::{EndView, EventFilter, EventView, PacketView, TunnelView, Vni},
};

/// Somebody who listens, until it is dropped.
#[derive(Debug)]
pub struct Events {
    listening: Listening,
    stations: Stations,
    filter: EventFilter,
}

impl Events {
    /// Listens to what `filter` says, from now on.
    pub async fn listen(controller: &Controller, filter: EventFilter) -> Self {
        let kinds = EventKinds { drops: filter.wants_drops(), flows: filter.wants_flows() };
        let (listening, stations) = controller.listen(kinds).await;
        Self { listening, stations, filter }
    }

    /// The next event that is wanted; `None` where there will be no more.
    pub async fn next(&mut self) -> Option<EventView> {
        loop {
            let view = match self.listening.next().await? {
                Told::Packet(event) => {
                    self.stations.refresh();
                    let packet = Box::new(name(&event, &mut self.stations));
                    match event.outcome {
                        Outcome::Dropped(_) => EventView::Drop(packet),
                        Outcome::Forwarded(_) => EventView::Flow(packet),
                    }
                }
                Told::Lost(events) => EventView::Lost { events, slow_listener: false },
                Told::Missed(events) => EventView::Lost { events, slow_listener: true },
            };
            if self.filter.matches(&view) {
                return Some(view);
            }
        }
    }
}

/// An event's packet in people's words.
fn name(event: &PacketEvent, stations: &mut Stations) -> PacketView {
    let PacketEvent { at, direction, outcome, device, to, vni, length, head } = event;
    let dissected = dissect(head, has_outer(*direction, *outcome));
    let from = stations.behind(*device).cloned();
    let given = to.and_then(|to| stations.behind(to)).cloned();
    let behind = from.as_ref().or(given.as_ref());
    let said = dissected.tunnel.and_then(|tunnel| Vni::new(tunnel.vni));
    let vni = vni.or(behind.and_then(|behind| behind.vni)).or(said);
    let network =
        behind.map(|behind| behind.network.clone()).or_else(|| stations.network(vni?).cloned());
    let Dissected { tunnel, stations: macs, source, destination, protocol, detail } = dissected;
    let mut end = |end: EndView, place: usize| {
        let mac = macs.map(|macs| macs[place]);
        let service = vni.and_then(|vni| stations.name(vni, end.address, mac));
        EndView { service: service.map(ToOwned::to_owned), ..end }
    };
    PacketView {
        at_us: micros(*at),
        program: direction.as_str().to_owned(),
        outcome: outcome.as_str().to_owned(),
        description: outcome.describe().to_owned(),
        network,
        vni,
        source: end(source, 0),
        destination: end(destination, 1),
        protocol,
        detail,
        bytes: *length,
        tunnel: tunnel
            .map(|tunnel| TunnelView { source: tunnel.source, destination: tunnel.destination }),
        device: device_name(*device),
        sender: from.as_ref().map(|from| from.service.clone()),
        sandbox: from.and_then(|from| from.sandbox),
    }
}

/// Microseconds since 1970.
fn micros(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Whether the packet had outer headers when the program told of it: what came from the underlay until they are taken off,
/// and what goes there once they are on.
fn has_outer(direction: Direction, outcome: Outcome) -> bool {
    match (direction, outcome) {
        (Direction::FromUnderlay | Direction::UnderlayFilter, Outcome::Dropped(_)) => true,
        (Direction::FromContainer, Outcome::Forwarded(verdict)) => verdict == Verdict::ToUnderlay,
        _ => false,
    }
}
