//! Namespaces: made, removed, entered.

use std::{fs, path::Path};

use netctl::kernel::{Error, Netns};

use super::{ip, sh};

fn mounts_of(path: &Path) -> usize {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == path.to_str()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn created_is_found_and_removed_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/ns1");
    let made = Netns::create(&path).await.unwrap();
    let opened = Netns::open(&path).unwrap();
    assert_eq!(made.id().unwrap(), opened.id().unwrap());
    assert_ne!(made.id().unwrap(), Netns::current().unwrap().id().unwrap());
    assert!(Netns::is_mounted(&path));

    let seen =
        sh(&Netns::current().unwrap(), &format!("nsenter --net={} ip -br link", path.display()));
    assert!(seen.starts_with("lo ") && seen.contains("LOOPBACK,UP"), "{seen}");
    assert_eq!(seen.lines().count(), 1, "{seen}");

    let again = Netns::create(&path).await.unwrap_err();
    assert!(matches!(again, Error::NetnsExists { .. }), "{again}");
    assert!(again.to_string().contains(path.to_str().unwrap()), "{again}");
    assert_eq!(mounts_of(&path), 1);

    assert!(Netns::remove(&path).unwrap());
    assert!(!Netns::remove(&path).unwrap());
    assert!(!Netns::is_mounted(&path));
    assert_eq!(mounts_of(&path), 0);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    // Still there for those who hold it.
    assert_eq!(ip(&made, "link").as_array().unwrap().len(), 1);
}

/// `ip netns add` mounts `/run/netns` over itself, with all that is mounted there.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_directory_was_mounted_over_itself_is_removed() {
    // What a test that fails leaves mounted goes with it.
    let run = testbed::Run::new().unwrap();
    let dir = run.dir().join("netns");
    let (path, other) = (dir.join("ns"), dir.join("other"));
    Netns::create(&path).await.unwrap();
    Netns::create(&other).await.unwrap();
    let place = dir.to_str().unwrap();
    for _ in 0..2 {
        testbed::output_of("mount", ["--rbind", place, place]).unwrap().ok().unwrap();
    }
    assert!(Netns::remove(&path).unwrap());
    assert!(!path.exists());
    assert_eq!(mounts_of(&path), 0);
    assert!(Netns::is_mounted(&other), "another went too");
    for _ in 0..2 {
        testbed::output_of("umount", ["--lazy", place]).unwrap().ok().unwrap();
    }
    assert!(Netns::is_mounted(&other));
    assert!(Netns::remove(&other).unwrap());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_creators_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ns");
    let results = futures(8, |_| {
        let path = path.clone();
        async move { Netns::create(&path).await }
    })
    .await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
    assert!(
        results
            .iter()
            .filter_map(|r| r.as_ref().err())
            .all(|e| matches!(e, Error::NetnsExists { .. }))
    );
    assert_eq!(mounts_of(&path), 1);
    assert!(Netns::remove(&path).unwrap());
}

async fn futures<T, F>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(make(n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ns");
    // Killed between making the file and mounting over it.
    fs::write(&path, "").unwrap();
    assert!(Netns::remove(&path).unwrap());
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    let made = Netns::create(&path).await.unwrap();
    assert_eq!(Netns::open(&path).unwrap().id().unwrap(), made.id().unwrap());
    assert!(Netns::remove(&path).unwrap());
}

#[test]
fn what_is_no_namespace_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    for (path, expected) in [
        (missing.as_path(), "nothing is there"),
        (&file, "is not a network namespace"),
        (dir.path(), "is not a network namespace"),
        (Path::new("/proc/self/ns/mnt"), "is not a network namespace"),
    ] {
        let error = Netns::open(path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(path.to_str().unwrap()), "{error}");
    }
    assert!(!Netns::remove(&missing).unwrap());
    assert!(!Netns::remove(&missing.join("below")).unwrap());
    assert!(matches!(Netns::remove(&file), Err(Error::NotANetns { .. })));
    assert!(matches!(Netns::remove(dir.path()), Err(Error::NotANetns { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_runs_in_the_namespace_and_nowhere_else() {
    let before = Netns::current().unwrap().id().unwrap();
    let netns = Netns::detached().await.unwrap();
    let inside = netns.run(|| Netns::current().unwrap().id().unwrap()).await.unwrap();
    assert_eq!(inside, netns.id().unwrap());
    assert_eq!(netns.run_blocking(|| Netns::current().unwrap().id().unwrap()).unwrap(), inside);
    assert_eq!(Netns::current().unwrap().id().unwrap(), before);
    assert!(matches!(netns.run(|| panic!("on purpose")).await, Err(Error::Panicked)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sysctls_are_those_of_the_namespace() {
    let own = Netns::current().unwrap();
    let root_before =
        sh(&own, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/rp_filter");
    let netns = Netns::detached().await.unwrap();
    let other = Netns::detached().await.unwrap();
    for value in ["1", "0", "1"] {
        netns.set_sysctl("ipv4/ip_forward", value).await.unwrap();
        assert_eq!(netns.sysctl("ipv4/ip_forward").await.unwrap(), value);
        assert_eq!(sh(&netns, "cat /proc/sys/net/ipv4/ip_forward").trim(), value);
    }
    netns.set_sysctl("ipv4/conf/lo/rp_filter", "2").await.unwrap();
    assert_eq!(sh(&netns, "cat /proc/sys/net/ipv4/conf/lo/rp_filter").trim(), "2");
    assert_eq!(sh(&other, "cat /proc/sys/net/ipv4/conf/lo/rp_filter").trim(), "0");
    assert_eq!(
        sh(&own, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/rp_filter"),
        root_before
    );
    let error = netns.set_sysctl("ipv4/conf/eth7/rp_filter", "2").await.unwrap_err().to_string();
    assert!(
        error.contains("net/ipv4/conf/eth7/rp_filter") && error.contains("set to 2"),
        "{error}"
    );
    let error = netns.set_sysctl("ipv4/ip_forward", "perhaps").await.unwrap_err().to_string();
    assert!(error.contains("set to perhaps"), "{error}");
}
