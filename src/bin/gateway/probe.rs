//! `run --ready-probe http://…`: PROGRAM is ready when a GET there is answered with 2xx or 3xx.
//!
//! A connection each, asked again after a pause, on a thread of its own that ends with the wait. A socket that is handed over
//! is shared, and the one that runs may answer there: ask at an address that only the new one has. Proven by
//! `tests/handover_ready.rs` and the tests below.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use incumbent::text::shown;
use tokio::sync::oneshot;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// So long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// As it stands in the URL: with a port, if it has one.
    host: String,
    path: String,
}

/// Reads `http://HOST[:PORT][/PATH]`.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("`{}` is no address: write it like http://127.0.0.1:8081/health", shown(text));
    let rest = text.strip_prefix("http://").ok_or_else(|| {
        if text.starts_with("https://") {
            "a probe speaks http only, without TLS".to_owned()
        } else {
            wrong()
        }
    })?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() || host.contains('@') || rest.chars().any(|c| c.is_control() || c == ' ') {
        return Err(wrong());
    }
    // Behind the last colon, unless that is one of an address in brackets.
    let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let is_one = |(name, port): (&str, &str)| {
        !name.is_empty()
            && (!name.contains(':') || name.ends_with(']'))
            && matches!(port.parse::<u16>(), Ok(1..))
    };
    if !port.is_none_or(is_one) {
        return Err(wrong());
    }
    let path = if path.is_empty() { "/" } else { path };
    Ok(Address { host: host.to_owned(), path: path.to_owned() })
}

impl Address {
    /// Whether who listens there is asked.
    pub(crate) fn leads_to(&self, listens: SocketAddr) -> bool {
        let is_it = |to: &SocketAddr| {
            to.port() == listens.port() && (to.ip() == listens.ip() || listens.ip().is_unspecified())
        };
        self.sockets().iter().any(is_it)
    }

    fn sockets(&self) -> Vec<SocketAddr> {
        let has_port = self.host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok())
            && !self.host.ends_with(']');
        let host = if has_port { self.host.clone() } else { format!("{}:80", self.host) };
        host.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
    }

    /// Whether somebody there says that all is well.
    fn is_well(&self) -> bool {
        self.sockets().into_iter().any(|to| matches!(self.ask(to), Some(200..400)))
    }

    fn ask(&self, to: SocketAddr) -> Option<u16> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let (host, path) = (&self.host, &self.path);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gateway\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let (mut head, mut piece) = (Vec::new(), [0; 64]);
        while head.len() < 12 {
            match stream.read(&mut piece).ok()? {
                0 => return None,
                count => head.extend_from_slice(&piece[..count]),
            }
        }
        code(&head)
    }
}

/// The code of `HTTP/1.1 200 OK`.
fn code(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.get(..12)?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// Asks until it is answered, or nobody wants to know any more.
#[derive(Debug)]
pub(crate) struct Probe {
    answered: Option<oneshot::Receiver<()>>,
    is_over: Arc<AtomicBool>,
}

impl Probe {
    pub(crate) fn start(address: Address, for_at_most: Option<Duration>) -> Self {
        let (tell, answered) = oneshot::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let until = for_at_most.and_then(|time| Instant::now().checked_add(time));
        let asks = move || {
            while !over.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
                if address.is_well() {
                    let _ = tell.send(());
                    return;
                }
                thread::sleep(PAUSE);
            }
        };
        if thread::Builder::new().name("probe".into()).spawn(asks).is_err() {
            tracing::warn!("there is no thread to probe with");
        }
        Self { answered: Some(answered), is_over }
    }

    /// Waits for the answer; for ever, if none comes. Cancel safe.
    pub(crate) async fn answered(&mut self) {
        if let Some(answered) = &mut self.answered {
            let came = answered.await;
            self.answered = None;
            if came.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_path() {
        let is = |text: &str, host: &str, path: &str| {
            assert_eq!(address(text).unwrap(), Address { host: host.into(), path: path.into() });
        };
        is("http://127.0.0.1:81/health?a=b", "127.0.0.1:81", "/health?a=b");
        is("http://[::1]:81", "[::1]:81", "/");
        assert_eq!(address("http://127.0.0.1").unwrap().sockets()[0].port(), 80);
        for wrong in [
            "127.0.0.1:80",
            "https://a",
            "http://",
            "http:///x",
            "http://a b",
            "http://a/\r\nX: y",
            "http://u@h/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:0/",
            "http://a:/",
            "http://:80/",
            "http://::1/",
            "http://::1:80/",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_answer_has_a_code() {
        assert_eq!(code(b"HTTP/1.1 204 No Content"), Some(204));
        assert_eq!(code(b"HTTP/1.0 404 "), Some(404));
        for wrong in [
            &b"HTTP/1.1 20"[..],
            b"SSH-2.0-OpenSSH",
            b"HTTP/1.1  204",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(code(wrong), None);
        }
    }

    #[test]
    fn a_probe_leads_to_whoever_listens_at_its_address_or_at_all() {
        let probe = address("http://127.0.0.1:8080/health").unwrap();
        for (listens, it_is) in [
            ("127.0.0.1:8080", true),
            ("0.0.0.0:8080", true),
            ("127.0.0.1:8081", false),
            ("127.0.0.2:8080", false),
        ] {
            assert_eq!(probe.leads_to(listens.parse().unwrap()), it_is, "{listens}");
        }
        assert!(address("http://127.0.0.1").unwrap().leads_to("127.0.0.1:80".parse().unwrap()));
    }
}
