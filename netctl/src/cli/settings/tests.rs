//! Where settings come from, which of them counts, and what is said of unusable ones.

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    file: FileArgs,
}

fn options(words: &[&str]) -> Options {
    Line::try_parse_from([&["netctl"], words].concat()).expect("good words").options
}

fn refusal(words: &[&str]) -> String {
    match Line::try_parse_from([&["netctl"], words].concat()) {
        Ok(line) => Settings::new(line.options).expect_err("bad words").to_string(),
        Err(error) => error.to_string(),
    }
}

fn file(text: &str) -> Result<Options, Error> {
    Options::parse(Path::new("/etc/netctl/netctl.toml"), text)
}

#[test]
fn any_file_is_read_or_refused() {
    let installed = include_str!("../../../../deploy/netctl.toml");
    let plain: String = installed.replace("\n# ", "\n").replace("\n#", "\n");
    let few = "vxlan-port = 4789\nstore = \"etcd:http://10.0.0.1:2379\"\nreap-after = \"15m\"\n";
    crate::fuzz::each(&[installed, few, &plain], |text| {
        if let Ok(text) = str::from_utf8(text) {
            drop(file(text));
        }
    });
}

#[test]
fn defaults_are_those_of_the_manual() {
    let settings = Settings::new(options(&["--host-name", "h1"])).expect("defaults");
    assert_eq!(settings.run_dir, Path::new("/run/netctl"));
    assert_eq!(settings.state_dir, Path::new("/var/lib/netctl"));
    assert_eq!(settings.bpf_dir, Path::new("/sys/fs/bpf/netctl"));
    assert_eq!(settings.netns_dir, Path::new("/run/netns"));
    assert_eq!(settings.store, StoreSpec::File(None));
    assert_eq!(settings.store_options.file, Path::new("/var/lib/netctl/store.db"));
    assert_eq!(settings.store_options.etcd, EtcdOptions::default());
    assert_eq!(settings.bind_interface, None);
    assert_eq!(settings.vxlan_port, 4789);
    assert_eq!((settings.big_tcp, settings.xdp), (Choice::Auto, Choice::Auto));
    assert_eq!(settings.default_pools, pools(&["10.0.0.0/8,24", "fd00::/8,64"]));
    assert_eq!(settings.host.as_str(), "h1");
    assert_eq!(settings.log.to_string(), "info");
}

fn pools(texts: &[&str]) -> Vec<DefaultPool> {
    texts.iter().map(|text| text.parse().expect("a pool")).collect()
}

#[test]
fn default_pools_are_a_list_in_each_source() {
    let wanted = Some(pools(&["172.30.0.0/16,24", "fd01::/16,64"]));
    let twice = ["--default-pool", "172.30.0.0/16,24", "--default-pool", "fd01::/16,64"];
    assert_eq!(options(&twice).default_pools, wanted);
    let one = ["--default-pool", "base=172.30.0.0/16,size=24 fd01::/16,64"];
    assert_eq!(options(&one).default_pools, wanted, "as in a variable");
    let text = "default-pool = [\"172.30.0.0/16,24\", \"fd01::/16,64\"]";
    assert_eq!(file(text).expect("good").default_pools, wanted);
}

#[test]
fn the_hosts_name_is_the_machines() {
    let name = nix::unistd::gethostname().expect("a name").into_string().expect("text");
    let settings = Settings::new(Options::default()).expect("defaults");
    assert_eq!(settings.host.as_str(), name);
}

#[test]
fn the_command_line_counts_over_the_file_over_defaults() {
    let from_file = file(
        "run-dir = \"/a\"\nvxlan-port = 4790\nstore = \"etcd:http://10.0.0.1:2379\"\nhost-name = \"h1\"\n",
    )
    .expect("a good file");
    let settings = Settings::new(options(&["--run-dir", "/b"]).over(from_file)).expect("good");
    assert_eq!(settings.run_dir, Path::new("/b"));
    assert_eq!(settings.vxlan_port, 4790);
    assert_eq!(settings.store, StoreSpec::Etcd(vec!["http://10.0.0.1:2379".to_owned()]));
    assert_eq!(settings.state_dir, Path::new("/var/lib/netctl"));
}

/// The environment is clap's affair, and the tests' own must not be changed: the table says the names.
#[test]
fn each_setting_is_an_option_a_variable_and_a_key_of_the_same_name() {
    let command = <Line as clap::CommandFactory>::command();
    for argument in command.get_arguments() {
        let option = argument.get_long().expect("an option");
        let variable = argument.get_env().and_then(|name| name.to_str()).expect("a variable");
        assert_eq!(variable, format!("NETCTL_{}", option.replace('-', "_").to_uppercase()));
        if option != "config" {
            let value = match option {
                "vxlan-port" => "1",
                "big-tcp" | "xdp" => "\"off\"",
                "reap-after" => "\"never\"",
                "default-pool" => "[\"10.0.0.0/8,24\"]",
                "plugin-dir" => "[\"/a\", \"/b\"]",
                "docker" => "true",
                _ => "\"a\"",
            };
            file(&format!("{option} = {value}")).expect(option);
        }
    }
}

#[test]
fn whichever_source_says_it_every_setting_is_taken() {
    let everything = Options {
        run_dir: Some("/1".into()),
        state_dir: Some("/2".into()),
        bpf_dir: Some("/3".into()),
        netns_dir: Some("/4".into()),
        store: Some("file".to_owned()),
        store_prefix: Some("/5".to_owned()),
        store_ca: Some("/6".into()),
        store_cert: Some("/7".into()),
        store_key: Some("/8".into()),
        store_user: Some("u".to_owned()),
        store_password_file: Some("/9".into()),
        bind_interface: Some("eth0".to_owned()),
        vxlan_port: Some(1),
        big_tcp: Some(Choice::On),
        xdp: Some(Choice::Off),
        reap_after: Some(ReapAfter(None)),
        default_pools: Some(pools(&["10.0.0.0/8,24"])),
        plugin_dirs: Some(vec!["/10".into()]),
        docker: Some(true),
        docker_plugin_socket: Some("/11".into()),
        docker_swarm_socket: Some("/12".into()),
        docker_engine: Some("/13".into()),
        metrics_listen: Some("127.0.0.1:1".to_owned()),
        web_listen: Some("127.0.0.1:2".to_owned()),
        host_name: Some("h1".parse().expect("a name")),
        log: Some("debug".to_owned()),
    };
    assert_eq!(Options::default().over(everything.clone()), everything);
    assert_eq!(everything.clone().over(Options::default()), everything);
}

#[test]
fn docker_is_served_where_that_is_said_and_from_where_docker_looks() {
    let of = |words: &[&str]| Settings::new(options(words)).expect("good").docker;
    let defaults = of(&[]);
    assert!(!defaults.serve && defaults.swarm_socket.is_none());
    assert_eq!(defaults.plugin_socket, Path::new("/run/docker/plugins/netctl.sock"));
    assert_eq!(defaults.engine, Path::new("/run/docker.sock"));
    for (words, serve) in
        [(&["--docker"][..], true), (&["--docker=true"], true), (&["--docker=false"], false)]
    {
        assert_eq!(of(words).serve, serve, "{words:?}");
    }
    let elsewhere = of(&["--docker", "--docker-swarm-socket", "/run/netctl/swarm.sock"]);
    assert_eq!(elsewhere.swarm_socket.as_deref(), Some(Path::new("/run/netctl/swarm.sock")));
}

#[test]
fn a_page_is_served_where_that_is_said() {
    let of = |words: &[&str]| {
        let at = Settings::new(options(words)).expect("good").web_listen;
        at.map(|address| address.to_string())
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["--web-listen"]).as_deref(), Some("127.0.0.1:9470"));
    assert_eq!(of(&["--web-listen", "--docker"]).as_deref(), Some("127.0.0.1:9470"));
    assert_eq!(of(&["--web-listen", "8080"]).as_deref(), Some("127.0.0.1:8080"));
}

#[test]
fn an_unusable_value_is_named_with_its_option() {
    for (words, expected) in [
        (["--vxlan-port", "0"], "--vxlan-port \"0\" is not usable: a port is from 1 to 65535"),
        (["--vxlan-port", "70000"], "invalid value '70000' for '--vxlan-port <PORT>'"),
        (
            ["--big-tcp", "yes"],
            "invalid value 'yes' for '--big-tcp <WHEN>': it is none of auto, on",
        ),
        (["--store", "redis:x"], "--store \"redis:x\" is not usable: write file"),
        (["--bind-interface", "a/b"], "--bind-interface \"a/b\" is not usable: it is no name of a"),
        (["--bind-interface", "sixteen-letters-"], "--bind-interface \"sixteen-letters-\" is not"),
        (
            ["--default-pool", "10.0.0.0/8"],
            "invalid value '10.0.0.0/8' for '--default-pool <BASE,SIZE>': default pool \"10.0.0.0/8\" is none",
        ),
        (["--host-name", "a b"], "invalid value 'a b' for '--host-name <NAME>': name \"a b\" must"),
        (
            ["--log", "loud"],
            "--log \"loud\" is not usable: \"loud\" is no level: write error, warn",
        ),
        (
            ["--metrics-listen", "9469"],
            "--metrics-listen \"9469\" is not usable: write an IP address and a port, as in 127.0.0.1:9469",
        ),
        (
            ["--metrics-listen", "h1:9469"],
            "--metrics-listen \"h1:9469\" is not usable: write an IP",
        ),
        (
            ["--metrics-listen", "[::]:0"],
            "--metrics-listen \"[::]:0\" is not usable: a port is from 1 to 65535",
        ),
        (
            ["--web-listen", "localhost:9470"],
            "--web-listen \"localhost:9470\" is not usable: write a port, an IP address, or both, as in 127.0.0.1:9470",
        ),
        (["--web-listen", "70000"], "--web-listen \"70000\" is not usable: write a port"),
        (["--web-listen", "0"], "--web-listen \"0\" is not usable: a port is from 1 to 65535"),
        (["--web-listen", "[::]:0"], "--web-listen \"[::]:0\" is not usable: a port is from 1"),
        (
            ["--store-password-file", "/none"],
            "--store-password-file \"/none\" is not usable: No such",
        ),
        (["--run-dir", ""], "a value is required for '--run-dir <PATH>'"),
    ] {
        let said = refusal(&words);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn an_unusable_file_is_named_with_the_line_and_the_key() {
    for (text, expected) in [
        (
            "vxlan-port = 4789\nvxlan-prt = 1\n",
            "line 2: key vxlan-prt: unknown field `vxlan-prt`, expected one of `run-dir`",
        ),
        (
            "\nvxlan-port = 70000\n",
            "line 2: key vxlan-port: invalid value: integer `70000`, expected u16",
        ),
        ("store = 7\n", "line 1: key store: invalid type: integer `7`, expected a string"),
        ("host-name = \"a b\"\n", "line 1: key host-name: name \"a b\" must consist of"),
        ("[daemon]\nstore = \"file\"\n", "line 1: key daemon: unknown field `daemon`"),
        ("store = \"file\"\nstore = \"file\"\n", "line 2: duplicate key"),
        ("store\n", "line 1: "),
    ] {
        let said = file(text).expect_err(text).to_string();
        assert!(
            said.starts_with(&format!("settings file /etc/netctl/netctl.toml, {expected}")),
            "{said}"
        );
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("netctl.toml");
    let args = FileArgs { config: Some(path.clone()) };
    let said = args.read().expect_err("it is not there").to_string();
    assert!(
        said.starts_with(&format!("settings file {} cannot be read: No such file", path.display())),
        "{said}"
    );
    fs::write(&path, "store-user = \"root\"\n").expect("written");
    assert_eq!(args.read().expect("there").store_user.as_deref(), Some("root"));
}

#[test]
fn a_password_is_a_line_of_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("password");
    fs::write(&path, "secret word\n").expect("written");
    let path = path.to_str().expect("text");
    let settings = Settings::new(options(&["--store-password-file", path])).expect("good");
    assert_eq!(settings.store_options.etcd.password.as_deref(), Some("secret word"));
}
