//! What engines call their containers, which is known only after their endpoints were made.

use crate::{
    controller::{Controller, Result, keys, records::Record, retry::Attempts},
    model::{Endpoint, EndpointId, Name},
    store::{Guard, Outcome, Txn},
};

impl Controller {
    /// Whether this host's engine has made that endpoint in a network of netctl's.
    pub async fn is_engine_endpoint(&self, id: &EndpointId) -> Result<bool> {
        let key = keys::engine_endpoint(&self.config.host, id);
        Ok(self.store.get(&key).await?.is_some())
    }

    /// Takes note whether the container with one of these endpoints is in networks of others too that have a way out.
    pub fn note_engine_container(&self, endpoints: &[EndpointId], elsewhere: bool) -> Result<()> {
        let differs = |record: &Record| {
            let has = record.attachments.iter().any(|a| endpoints.contains(&a.interface.endpoint));
            (has && record.sandbox.foreign && record.elsewhere != elsewhere)
                .then(|| record.sandbox.id.clone())
        };
        for sandbox in self.records.each(differs).into_iter().flatten() {
            self.records.update(&sandbox, |record| record.elsewhere = elsewhere)?;
            // The name servers know it by the next pass.
            self.drivers.wake().notify_one();
        }
        Ok(())
    }

    /// Has an endpoint of this host's engine called as the engine calls its container: by its name, or where that is another's
    /// by an alias like the others, which may be several endpoints'. One that the engine has not made is no error.
    pub async fn name_engine_endpoint(
        &self,
        id: &EndpointId,
        name: Option<&Name>,
        aliases: &[Name],
    ) -> Result<()> {
        let mut attempts = Attempts::new("name endpoint", id.short());
        loop {
            let Some((network, stored)) = self.engine_endpoint(id).await? else { return Ok(()) };
            let old = &stored.value;
            let mut txn = Txn::new().when(stored.unchanged());
            let mut new = Endpoint { aliases: aliases.to_vec(), ..old.clone() };
            if let Some(name) = name {
                let (held, wanted) = (
                    keys::endpoint_name(&network.id, &old.name),
                    keys::endpoint_name(&network.id, name),
                );
                if held == wanted {
                    new.name = name.clone();
                } else if self.store.get(&wanted).await?.is_none() {
                    new.name = name.clone();
                    txn = txn
                        .when(Guard::Absent(wanted.clone()))
                        .put(wanted, id.as_str())
                        .delete(held);
                } else {
                    new.aliases.insert(0, name.clone());
                }
            }
            if new == *old {
                return Ok(());
            }
            let txn = txn.put(stored.key.clone(), keys::write(&new));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(
                    service = %new.name, network = %network.name, id = id.short(), "named by an engine"
                );
                return Ok(());
            }
            attempts.again().await?;
        }
    }
}
