//! The hosts of the cluster, for plugins that are to hear of them.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::{Controller, follow::Mirror};
use crate::{
    model::{Host, Vteps},
    plugin::NodeData,
};

impl Controller {
    /// Has plugins hear which hosts there are by `mirror`, until it is dropped.
    pub(super) async fn tell_hosts(&self, mut mirror: watch::Receiver<Mirror<Host>>) -> ! {
        let own = |vteps: Vteps| {
            let address = vteps.iter().next();
            address.map(|address| NodeData { address, own: true }).into_iter()
        };
        let (sender, hosts) = watch::channel(own(self.context.vteps()).collect::<BTreeSet<_>>());
        let following = async {
            loop {
                let vteps = self.context.vteps();
                let seen = {
                    let mirror = mirror.borrow_and_update();
                    // What cannot be read may be a host that is there.
                    (mirror.complete && !mirror.damaged).then(|| {
                        let hosts = mirror.entries.values().map(|(host, _)| host);
                        let others = hosts.filter(|host| host.name != self.config.host);
                        let others = others.filter_map(|host| {
                            let address = vteps.towards(&host.vteps)?;
                            Some(NodeData { address, own: false })
                        });
                        own(vteps).chain(others).collect::<BTreeSet<_>>()
                    })
                };
                if let Some(seen) = seen {
                    sender.send_if_modified(|hosts| {
                        let changed = *hosts != seen;
                        *hosts = seen;
                        changed
                    });
                }
                if mirror.changed().await.is_err() {
                    // The daemon is stopping.
                    std::future::pending::<()>().await;
                }
            }
        };
        let ((), never) = tokio::join!(self.drivers.tell_hosts(hosts), following);
        never
    }
}
