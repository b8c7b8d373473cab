//! The text that names a store: `--store file:/var/lib/netctl/store.db`.

use std::{fmt, path::PathBuf, str::FromStr};

/// Which store, and where.
///
/// | text | store |
/// |---|---|
/// | `file`, `file:PATH` | an SQLite file that all daemons of one machine share |
/// | `etcd:URL,URL…`, or only `URL,URL…` | etcd; a URL is `http://HOST:PORT` or `https://HOST:PORT` |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSpec {
    /// In this file, or in the one that is usual.
    File(Option<PathBuf>),
    /// In etcd, at these URLs of the members of one cluster.
    Etcd(Vec<String>),
}

/// A text that names no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("store {text:?} is not usable: {reason}")]
pub struct InvalidSpec {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl FromStr for StoreSpec {
    type Err = InvalidSpec;

    fn from_str(text: &str) -> Result<Self, InvalidSpec> {
        let invalid = |reason: String| InvalidSpec { text: text.to_owned(), reason };
        match text.split_once(':') {
            None if text == "file" => Ok(Self::File(None)),
            Some(("file", "")) => Err(invalid("a path must follow file:".to_owned())),
            Some(("file", path)) => Ok(Self::File(Some(path.into()))),
            Some(("etcd", urls)) => endpoints(urls).map(Self::Etcd).map_err(invalid),
            Some(("http" | "https", _)) => endpoints(text).map(Self::Etcd).map_err(invalid),
            None | Some(_) => Err(invalid(
                "write file, file:PATH or etcd:http://HOST:2379[,http://HOST:2379...]".to_owned(),
            )),
        }
    }
}

fn endpoints(urls: &str) -> Result<Vec<String>, String> {
    let urls: Vec<_> = urls.split(',').map(endpoint).collect::<Result<_, _>>()?;
    let secure = urls.iter().filter(|url| url.starts_with("https:")).count();
    if secure != 0 && secure != urls.len() {
        return Err("use http or https for all URLs, not both".to_owned());
    }
    Ok(urls)
}

fn endpoint(url: &str) -> Result<String, String> {
    let wanted = || format!("{url:?} is not of the form http://HOST:PORT or https://HOST:PORT");
    let (scheme, rest) = url.split_once("://").ok_or_else(wanted)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = authority.rsplit_once(':').ok_or_else(wanted)?;
    let bare = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        None => Some(host).filter(|host| !host.contains([':', '[', ']'])),
        Some(inner) => inner.filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok()),
    };
    let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@');
    let host_fits = bare.is_some_and(|host| !host.is_empty() && !host.contains(odd));
    let port_fits = port.parse::<u16>().is_ok_and(|port| port != 0);
    if matches!(scheme, "http" | "https") && host_fits && port_fits {
        Ok(format!("{scheme}://{authority}"))
    } else {
        Err(wanted())
    }
}

impl fmt::Display for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(None) => f.write_str("file"),
            Self::File(Some(path)) => write!(f, "file:{}", path.display()),
            Self::Etcd(urls) => write!(f, "etcd:{}", urls.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StoreSpec;

    #[test]
    fn good_texts_are_read_and_written_alike() {
        for (text, canonical) in [
            ("file", "file"),
            ("file:/var/lib/netctl/store.db", "file:/var/lib/netctl/store.db"),
            ("file:a:b", "file:a:b"),
            ("etcd:http://a:2379,http://b:2379", "etcd:http://a:2379,http://b:2379"),
            ("http://a:2379/", "etcd:http://a:2379"),
            ("https://[fd00::1]:2379", "etcd:https://[fd00::1]:2379"),
        ] {
            let spec: StoreSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), canonical);
            assert_eq!(canonical.parse::<StoreSpec>().unwrap(), spec);
        }
    }

    #[test]
    fn bad_texts_are_told_what_would_be_right() {
        for (text, reason) in [
            ("", "write file"),
            ("files", "write file"),
            ("memory", "write file"),
            ("redis:http://a:1", "write file"),
            ("file:", "a path must follow"),
            ("etcd:", "not of the form"),
            ("etcd:a:2379", "not of the form"),
            ("http://a", "not of the form"),
            ("http://:2379", "not of the form"),
            ("http://a:0", "not of the form"),
            ("http://a:99999", "not of the form"),
            ("http://a:2379/path", "not of the form"),
            ("http://user@a:2379", "not of the form"),
            ("http://fd00::1:2379", "not of the form"),
            ("http://a:1,", "not of the form"),
            ("http://a:1,https://b:1", "not both"),
        ] {
            let error = text.parse::<StoreSpec>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
