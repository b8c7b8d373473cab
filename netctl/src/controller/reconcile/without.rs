//! A daemon that starts while the store is away.

use super::{Followed, Reconciler, failures::Failures, interest::Interest, pass::Depth};
use crate::controller::follow::Follower;

impl Reconciler {
    /// Has the host be as an earlier daemon last knew that it should, where the store does not say it. Whatever stands
    /// stays, and whatever is missing is made: the maps of a version with another layout, or after a restart of the machine,
    /// and what is of endpoints whose namespace is still there, or there again.
    pub(in crate::controller) async fn serve_kept(&mut self) {
        for (network, endpoints) in self.kept() {
            let by_id = endpoints.into_iter().map(|endpoint| (endpoint.id.to_string(), endpoint));
            let endpoints = Follower::kept(by_id.collect());
            let id = network.id.clone();
            self.followed.insert(id, Followed::new(network, endpoints, false));
        }
        let networks = self.followed.len();
        let mut failures = Failures::default();
        let seen = self.look(&Interest::default(), false);
        tracing::info!(
            networks,
            endpoints = seen.own.len(),
            "serving what was known, without the store"
        );
        self.make(&seen, Depth::Whole, &mut failures).await;
        // From here on the store says which are followed. What was made stands.
        self.followed.clear();
    }
}
