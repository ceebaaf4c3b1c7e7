//! `run --listen [NAME=]ADDR`: where to listen, as people write it. Pure.
//!
//! An address is one socket, so that two can be compared by their words: no host names, which may mean several addresses, and
//! another one tomorrow; an address of IPv6 is not one of IPv4 as well. Proven by the tests below.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr as _,
};

use incumbent::text::shown;

/// What `--help` says.
pub(crate) const HELP: &str = "Listen at ADDR (127.0.0.1:80, [::1]:80, /run/web.sock) and hand the socket to PROGRAM \
(LISTEN_FDS, under this name); with --replace it is taken over from the one that runs. May be given several times";

/// What a socket is called that has no other name (`LISTEN_FDNAMES`).
const NAME: &str = "listen";
/// `sd_listen_fds(3)`.
const LONGEST_NAME: usize = 255;

/// Where to listen, and what the socket is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) name: String,
    pub(crate) at: At,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    Network(SocketAddr),
    Path(PathBuf),
}

impl Listen {
    /// The address in the words by which it is compared.
    pub(crate) fn address(&self) -> String {
        match &self.at {
            At::Network(address) => address.to_string(),
            At::Path(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// Reads `[NAME=]ADDR`.
pub(crate) fn listen(text: &str) -> Result<Listen, String> {
    let is_name = |name: &str| {
        (1..=LONGEST_NAME).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ':' | '/' | '['))
    };
    let (name, address) = match text.split_once('=') {
        Some((name, address)) if is_name(name) => (name, address),
        Some(("", _)) => return Err(format!("`{}` has an empty name before the `=`", shown(text))),
        _ => (NAME, text),
    };
    let found = at(address).map_err(|why| match text.rsplit_once('=') {
        // It is the name that is none.
        Some((name, rest)) if at(rest).is_ok() => format!(
            "`{}` is no name: one has 1 to {LONGEST_NAME} characters of ASCII, without blanks and `:`, `/`, `[`, `=`",
            shown(name)
        ),
        _ => why,
    });
    Ok(Listen { name: name.to_owned(), at: found? })
}

fn at(text: &str) -> Result<At, String> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    if path.starts_with('/') && path.len() > 1 && !path.ends_with('/') {
        return Ok(At::Path(path.into()));
    }
    let is_socket = Path::new(text).extension().is_some_and(|extension| extension == "sock");
    let looks_relative = !text.contains(':') && (text.contains('/') || is_socket);
    if path.len() < text.len() || (looks_relative && !text.starts_with('/')) {
        return Err(format!("`{}` is no absolute path: write it like unix:/run/web.sock", shown(text)));
    }
    SocketAddr::from_str(text).map(At::Network).map_err(|_| not_an_address(text))
}

fn not_an_address(text: &str) -> String {
    let shown = shown(text);
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if (in_brackets || host.parse::<Ipv4Addr>().is_ok()) && host.len() < text.len() {
        return match port.parse::<u16>() {
            Err(_) => {
                format!("`{shown}` has no port: that is a number up to 65535, and with 0 one is chosen")
            }
            Ok(_) if host.contains('%') => {
                format!("`{shown}`: the zone of an address is given by its number, like [fe80::1%2]:{port}")
            }
            Ok(_) => format!("`{shown}` is no address: {host} is none of IPv6"),
        };
    }
    let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
    match (port, text.rsplit_once(':').map_or("", |(host, _)| host)) {
        (Some(port), "" | "*") => {
            format!(
                "`{shown}` says no address: write 0.0.0.0:{port} for all of IPv4, [::]:{port} for all of IPv6"
            )
        }
        (Some(port), "localhost") => format!("`{shown}` is a name: write 127.0.0.1:{port} or [::1]:{port}"),
        (Some(_), host) if [host, text].iter().any(|it| it.parse::<Ipv6Addr>().is_ok()) => {
            format!("`{shown}` is no address: one of IPv6 is written in brackets, like [::1]:8080")
        }
        (Some(_), host) if host.contains(':') => {
            format!("`{shown}` is no address: write it without a scheme, like 127.0.0.1:8080")
        }
        (Some(_), _) => format!(
            "`{shown}` is a name, which may mean several addresses: write the address, like 127.0.0.1:8080"
        ),
        (None, _) => {
            format!("`{shown}` is no address: write it like 127.0.0.1:8080, [::1]:8080 or /run/web.sock")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_name_and_said_in_one_way() {
        let said = |text: &str| listen(text).map(|it| (it.name.clone(), it.address())).unwrap();
        let is = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(said("127.0.0.1:80"), is("listen", "127.0.0.1:80"));
        assert_eq!(said("http=0.0.0.0:0"), is("http", "0.0.0.0:0"));
        assert_eq!(said("x=[0:0::1]:80"), is("x", "[::1]:80"));
        assert_eq!(said("/run/a=b.sock"), is("listen", "/run/a=b.sock"));
        assert_eq!(said("admin=unix:/run/a=b.sock"), is("admin", "/run/a=b.sock"));
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one() {
        let why = |text: &str| listen(text).unwrap_err();
        assert!(why("8080").contains("0.0.0.0:8080"));
        assert!(why(":8080").contains("[::]:8080"));
        assert!(why("localhost:80").contains("127.0.0.1:80"));
        assert!(why("example.org:80").contains("several addresses"));
        assert!(why("::1:80").contains("brackets"));
        assert!(why("::1").contains("brackets"));
        assert!(why("http://127.0.0.1:80").contains("without a scheme"));
        for text in ["127.0.0.1:65536", "127.0.0.1:-1", "[::1]:http", "127.0.0.1:"] {
            assert!(why(text).contains("up to 65535"), "{text}");
        }
        assert!(why("[fe80::1%eth0]:80").contains("its number"));
        assert!(why("[1::2::3]:80").contains("none of IPv6"));
        for text in ["a:b=127.0.0.1:80", "a=b=127.0.0.1:80", "a b=/run/web.sock"] {
            assert!(why(text).contains("is no name"), "{text}");
        }
        for text in ["unix:run/a", "run/web.sock", "./web.sock", "web.sock"] {
            assert!(why(text).contains("absolute"), "{text}");
        }
        assert!(why("=127.0.0.1:80").contains("empty name"));
        for text in ["", "x=", "/", "/run/", "127.0.0.1", "127.0.0.1:70000", "a\u{7}=1"] {
            assert!(!why(text).contains('\u{7}'), "{text}");
        }
    }
}
