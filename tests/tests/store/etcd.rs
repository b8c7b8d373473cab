//! The store in etcd: conformance, and the options to connect.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use etcd_client::{Client, Permission, PermissionType};
use netctl::store::{Error, EtcdOptions, EtcdStore, Revision, SharedStore};
use tempfile::TempDir;

use crate::{
    etcd_server::Etcd,
    suite::{Bench, Replay, conformance, next, put},
};

pub(crate) async fn open(etcd: &Etcd, options: &EtcdOptions) -> SharedStore {
    Arc::new(EtcdStore::open(&[etcd.url()], options).await.unwrap())
}

impl Bench for Etcd {
    async fn open(&self) -> SharedStore {
        open(self, &EtcdOptions::default()).await
    }

    async fn compact(&self, through: Revision) {
        let mut client = Client::connect([self.url()], None).await.unwrap();
        client.compact(through.0.cast_signed() + 1, None).await.unwrap();
    }
}

conformance!(async { Etcd::start() });

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_part_the_users_of_one_etcd() {
    let etcd = Etcd::start();
    let with = |prefix: &str| EtcdOptions { prefix: prefix.to_owned(), ..EtcdOptions::default() };
    let (one, two) = (open(&etcd, &with("/one")).await, open(&etcd, &with("/one1/")).await);
    let (_, mut watch) = Replay::begin(&one, "").await;
    put(&two, "a", "2").await;
    put(&one, "a", "1").await;
    assert_eq!(next(&mut watch).await.len(), 1);
    assert_eq!(one.list("").await.unwrap().entries.len(), 1);
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    assert_eq!(client.get("/one/a", None).await.unwrap().kvs()[0].value(), b"1");
    assert_eq!(client.get("/one1/a", None).await.unwrap().kvs()[0].value(), b"2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_watches_end_in_etcd_too() {
    const WATCHERS: &str = "etcd_debugging_mvcc_watcher_total";
    let etcd = Etcd::start();
    let store = Bench::open(&etcd).await;
    put(&store, "a", "").await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut watch = store.watch("", Revision(1)).await.unwrap();
        next(&mut watch).await;
        watches.push(watch);
    }
    assert!(etcd.metric(WATCHERS) >= 20.0);
    drop(watches);
    let until = Instant::now() + Duration::from_secs(10);
    while etcd.metric(WATCHERS) > 0.0 {
        assert!(Instant::now() < until, "{} watchers", etcd.metric(WATCHERS));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an authority in `dir`, and certificates of it for the server and a client.
fn make_certificates(dir: &Path) {
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(dir, &format!("{new} -keyout ca.key -out ca.pem -subj /CN=authority"));
    for (name, extensions) in [
        (
            "server",
            "-addext subjectAltName=IP:127.0.0.1 -addext extendedKeyUsage=serverAuth,clientAuth",
        ),
        ("client", "-addext extendedKeyUsage=clientAuth"),
    ] {
        let signed = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
        let files = format!("-keyout {name}.key -out {name}.pem -subj /CN={name}");
        openssl(dir, &format!("{new} {signed} {files} {extensions}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_asked_for_and_checked() {
    let etcd = Etcd::with("https", |dir| {
        make_certificates(dir);
        let file = |option: &str, name: &str| format!("{option}={}", dir.join(name).display());
        let files = [
            ("--cert-file", "server.pem"),
            ("--key-file", "server.key"),
            ("--trusted-ca-file", "ca.pem"),
        ];
        let mut args: Vec<_> = files.iter().map(|(option, name)| file(option, name)).collect();
        args.push("--client-cert-auth".to_owned());
        args
    });
    let file = |name: &str| Some(etcd.dir().join(name));
    let ca = EtcdOptions { ca: file("ca.pem"), ..EtcdOptions::default() };
    let full = EtcdOptions { cert: file("client.pem"), key: file("client.key"), ..ca.clone() };

    let store = open(&etcd, &full).await;
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    put(&store, "a", "1").await;
    replay.until(&mut watch, "a").await;

    let error = open(&etcd, &ca).await.get("a").await.unwrap_err();
    println!("no client certificate: {error}");
    assert!(matches!(error, Error::Unavailable { .. }), "no client certificate: {error}");
    let other = TempDir::new().unwrap();
    make_certificates(other.path());
    let options = EtcdOptions { ca: Some(other.path().join("ca.pem")), ..full.clone() };
    let error = open(&etcd, &options).await.get("a").await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "another authority: {error}");

    for (options, word) in [
        (EtcdOptions::default(), "https needs"),
        (EtcdOptions { key: None, ..full.clone() }, "go together"),
        (EtcdOptions { ca: file("absent.pem"), ..full.clone() }, "absent.pem cannot be read"),
        (EtcdOptions { user: Some("u".to_owned()), ..full.clone() }, "needs a password"),
    ] {
        let error = EtcdStore::open(&[etcd.url()], &options).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { .. }) && error.to_string().contains(word),
            "{error}"
        );
    }
    let plain = EtcdStore::open(&["http://127.0.0.1:1".to_owned()], &full).await.unwrap_err();
    assert!(plain.to_string().contains("begin with https"), "{plain}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_and_stay_logged_in() {
    let mut etcd =
        Etcd::with("http", |_| vec!["--auth-token-ttl=2".to_owned(), "--bcrypt-cost=4".to_owned()]);
    let mut admin = Client::connect([etcd.url()], None).await.unwrap();
    admin.user_add("root", "root", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.role_add("netctl").await.unwrap();
    let range = Permission::new(PermissionType::Readwrite, "/netctl/v1/").with_prefix();
    admin.role_grant_permission("netctl", range).await.unwrap();
    admin.user_add("net", "secret", None).await.unwrap();
    admin.user_grant_role("net", "netctl").await.unwrap();
    admin.auth_enable().await.unwrap();

    let user = |password: &str| EtcdOptions {
        user: Some("net".to_owned()),
        password: Some(password.to_owned()),
        ..EtcdOptions::default()
    };
    assert!(!format!("{:?}", user("secret")).contains("secret"));
    let store = open(&etcd, &user("secret")).await;
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    put(&store, "a", "1").await;
    replay.until(&mut watch, "a").await;
    // Longer than a token lives unused.
    tokio::time::sleep(Duration::from_secs(5)).await;
    put(&store, "b", "1").await;
    replay.until(&mut watch, "b").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (mut late, mut late_watch) = (
        Replay { state: replay.state.clone(), at: replay.at },
        store.watch("", Revision(replay.at.0 + 1)).await.unwrap(),
    );
    // A restarted etcd knows no token at all.
    etcd.kill();
    etcd.run();
    let fresh = open(&etcd, &user("secret")).await;
    put(&fresh, "c", "1").await;
    replay.until(&mut watch, "c").await;
    late.until(&mut late_watch, "c").await;
    put(&store, "d", "1").await;
    replay.until(&mut watch, "d").await;
    replay.check(&store, "").await;

    for (options, word) in
        [(user("wrong"), "authentication failed"), (EtcdOptions::default(), "user name is empty")]
    {
        let error = open(&etcd, &options).await.get("a").await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { .. }) && error.to_string().contains(word),
            "{error}"
        );
    }
    let elsewhere = EtcdOptions { prefix: "/other".to_owned(), ..user("secret") };
    let store = open(&etcd, &elsewhere).await;
    let error = store.get("a").await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    let mut watch = store.watch("", Revision(1)).await.unwrap();
    let error =
        tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}
