//! VXLAN network identifiers.

use std::collections::BTreeSet;

use super::{Claim, Error};
use crate::{
    model::{Name, Vni},
    store::{Guard, Store, Txn},
};

/// What the keys of all VNIs begin with.
pub const PREFIX: &str = "vnis/";

/// The key that says whose a VNI is.
pub fn vni_key(vni: Vni) -> String {
    format!("{PREFIX}{vni}")
}

/// Claims `wanted`, or the lowest free identifier from [`Vni::FIRST_AUTOMATIC`] on.
pub async fn vni(
    store: &dyn Store,
    network: &Name,
    wanted: Option<Vni>,
) -> Result<Claim<Vni>, Error> {
    let value = match wanted {
        Some(vni) => match store.get(&vni_key(vni)).await? {
            Some(entry) => {
                let network = String::from_utf8_lossy(&entry.value).into_owned();
                return Err(Error::VniTaken { vni, network });
            }
            None => vni,
        },
        None => lowest_free(store).await?,
    };
    let key = vni_key(value);
    Ok(Claim::new(value, Txn::new().when(Guard::Absent(key.clone())).put(key, network.as_str())))
}

async fn lowest_free(store: &dyn Store) -> Result<Vni, Error> {
    let listing = store.list(PREFIX).await?;
    let taken: BTreeSet<u32> = listing
        .entries
        .iter()
        .filter_map(|entry| entry.key.strip_prefix(PREFIX)?.parse().ok())
        .collect();
    (Vni::FIRST_AUTOMATIC.get()..=Vni::MAX.get())
        .find(|number| !taken.contains(number))
        .and_then(Vni::new)
        .ok_or(Error::NoVni)
}
