//! Hearing of changes of nftables.

use std::{fmt::Write as _, time::Duration};

use netctl::kernel::NftWatch;
use tokio::time::timeout;

use super::host;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_changed_at_once_is_heard_of_once() {
    let (netns, _netlink) = host().await;
    let mut watch = NftWatch::open(&netns).await.unwrap();
    for round in 0..2 {
        let mut script = String::new();
        for number in 0..200 {
            writeln!(script, "add table inet round{round}-{number}").unwrap();
        }
        netns.nft_change(script).await.unwrap();
        timeout(SOON, watch.changed()).await.expect("it is heard of").unwrap();
        let again = timeout(Duration::ZERO, watch.changed()).await;
        assert!(again.is_err(), "it is heard of again: {again:?}");
    }
}
