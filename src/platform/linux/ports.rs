//! Who listens at an address of the network: `/proc/net/tcp` names the socket, `/proc/PID/fd` who has it (proc(5)).
//!
//! For people: whoever holds it may be another user's process, which is not shown, or in another network namespace.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::process::Process;

const LISTENS: &str = "0A";
/// So many of those that share it are named.
const MOST: usize = 4;

/// The processes that listen where this address would be in the way.
pub(crate) fn owners(address: SocketAddr) -> Vec<Process> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(|line| inode_at(line, address)));
    }
    if inodes.is_empty() {
        return Vec::new();
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut owners = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let mut fds = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let has = fds.any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| links.iter().any(|link| to.as_os_str() == link.as_str()))
        });
        if has {
            owners.extend(Process::of(pid).ok().flatten());
        }
        if owners.len() == MOST {
            break;
        }
    }
    owners
}

/// The socket of a line, if it listens where this address would be in the way.
fn inode_at(line: &str, address: SocketAddr) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = words.get(1)?.split_once(':')?;
    if *words.get(3)? != LISTENS || u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    let there = ip_of(ip)?;
    // One for all addresses is in the way of each; of the other family it may be one for both.
    let meets = there == address.ip() || there.is_unspecified() || address.ip().is_unspecified();
    words.get(9)?.parse().ok().filter(|_| meets)
}

/// An address as the kernel writes it: four bytes at a time, each the machine's way round.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len()).step_by(8).map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| {
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_listens_is_named_and_after_that_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let named = |address: SocketAddr| owners(address).iter().any(|it| it.pid == std::process::id());
        assert!(named(address));
        assert!(named(SocketAddr::new("0.0.0.0".parse().unwrap(), address.port())));
        assert!(!named(SocketAddr::new("127.0.0.2".parse().unwrap(), address.port())));
        drop(listener);
        assert!(owners(address).is_empty());
    }

    #[test]
    fn what_the_kernel_never_writes_is_no_socket() {
        let address = "127.0.0.1:80".parse().unwrap();
        for line in ["", "0: 0100007F:0050", "0: x:y 0 0A", "0: é00007F:0050 0 0A 0 0 0 0 0 7"] {
            assert_eq!(inode_at(line, address), None);
        }
        let line = "0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1";
        #[cfg(target_endian = "little")]
        assert_eq!(inode_at(line, address), Some(77));
    }
}
