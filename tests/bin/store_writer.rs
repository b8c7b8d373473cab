//! Writes to a store until it is killed, or `count` transactions are done: `store-writer STORE NAME COUNT`.
//!
//! Each transaction puts the same number under two keys, `NAME/left` and `NAME/right`, and under a key of its own. The
//! number is printed after the store has answered.

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use netctl::store::{EtcdOptions, OpenOptions, Outcome, Txn, open};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut arg = |name| args.next().with_context(|| format!("argument {name} is missing"));
    let (spec, name, count) = (arg("STORE")?, arg("NAME")?, arg("COUNT")?.parse()?);
    let options = OpenOptions { file: PathBuf::from("store.db"), etcd: EtcdOptions::default() };
    let store = open(&spec.parse()?, &options).await?;
    for number in 1..=count {
        let value = u64::to_string(&number);
        let txn = Txn::new()
            .put(format!("{name}/left"), &*value)
            .put(format!("{name}/log/{number:06}"), &*value)
            .put(format!("{name}/right"), &*value);
        let outcome = store.commit(txn).await?;
        ensure!(
            matches!(outcome, Outcome::Committed(_)),
            "an unguarded transaction had a conflict"
        );
        writeln!(stdout(), "{number}")?;
    }
    Ok(())
}
