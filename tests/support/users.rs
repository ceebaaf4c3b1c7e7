//! Roles that other users play. Only root can start them, from a copy of the test binary that everybody may run.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _, chown},
            net::{SocketAddr, UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use incumbent_proto::{DirId, FrameBuffer, Pong, Reply, Request};

use crate::program::{Program, WATCHDOG, eventually, orders, tell};

/// A user who is nobody to us.
pub const STRANGER: u32 = 65534;
/// A user with a directory.
pub const OWNER: u32 = 54321;

/// A place that everybody may look into, with the test binary in it.
pub struct Town {
    dir: tempfile::TempDir,
}

impl Town {
    /// None when this user is not root; it says so.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("left out: only root can play other users");
            }
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        set_mode(dir.path(), 0o755);
        // In another process: what writes to a program here would be inherited by what other tests start (`ETXTBSY`).
        let binary = std::env::current_exe().expect("a path");
        let copied = Command::new("cp").arg(binary).arg(dir.path().join("binary")).status().expect("cp");
        assert!(copied.success());
        Some(Self { dir })
    }

    /// A directory of this user, with this mode.
    pub fn directory(&self, name: &str, uid: u32, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir(&path).expect("made");
        chown(&path, Some(uid), Some(uid)).expect("given");
        set_mode(&path, mode);
        path
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a role as this user.
    pub fn role_as(&self, uid: u32, name: &str, dir: &Path) -> Program {
        let inner = Program::role_command(name, dir);
        let mut command = Command::new(self.dir.path().join("binary"));
        command.args(inner.get_args()).uid(uid).gid(uid).current_dir("/");
        command.envs(inner.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let mut program = Program::start(&mut command);
        program.wait_line("ready");
        program
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// The abstract name on which a process listens: which sockets are its own, and what the kernel calls them.
pub fn abstract_name_of(pid: u32) -> Option<String> {
    let own: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let all = fs::read_to_string("/proc/net/unix").ok()?;
    all.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(6);
        let (inode, name) = (words.next()?, words.next()?);
        (own.iter().any(|own| own == inode) && name.starts_with("@incumbent/")).then(|| name[1..].to_owned())
    })
}

pub fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).expect("a name")
}

/// A client that connects to an abstract name and asks for everything; it tells how many bytes it got back.
pub fn asker() {
    tell("ready");
    for order in orders() {
        let name = order.strip_prefix("ask ").expect("an order");
        let got = UnixStream::connect_addr(&abstract_address(name)).and_then(|mut stream| {
            stream.set_read_timeout(Some(WATCHDOG))?;
            let stop = incumbent_proto::Stop {
                reason: incumbent_proto::StopReason::Stop,
                if_idle: false,
                grace_ms: 0,
                pid: 1,
                command: String::new(),
            };
            let ping = incumbent_proto::Ping { nonce: [1; 16] };
            let mut frames = Request::Stop(stop).encode().expect("it fits");
            frames.extend(Request::Ping(ping).encode().expect("it fits"));
            let _ = stream.write_all(&frames); // it may be closed already
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got); // a reset is an end too
            Ok(got.len())
        });
        tell(format!("ask: {got:?}"));
    }
}

/// A fake holder: listens at instance `a`'s socket or at an abstract name, and answers pings perfectly.
pub fn squatter(dir: &Path) {
    tell("ready");
    for order in orders() {
        let bind = || match order.split_once(' ') {
            Some(("name" | "full", name)) => UnixListener::bind_addr(&abstract_address(name)),
            _ => UnixListener::bind(dir.join("a.sock")).inspect(|_| set_mode(&dir.join("a.sock"), 0o777)),
        };
        // An abstract name is free once the answering thread of who released it has closed its sockets.
        let mut listener = None;
        eventually("the place is free", || {
            listener = bind().ok();
            listener.is_some()
        });
        let listener = listener.expect("it is");
        if order.starts_with("full") {
            fill(listener);
            tell(format!("{}: done", order.split(' ').next().unwrap_or_default()));
            continue;
        }
        let at = fs::metadata(dir).expect("a directory");
        let dir_id = DirId { dev: at.dev(), ino: at.ino() };
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || answer_perfectly(stream, dir_id));
            }
        });
        tell(format!("{}: done", order.split(' ').next().unwrap_or_default()));
    }
}

/// Lets as few wait as there can be, and then nobody any more.
fn fill(listener: UnixListener) {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let address = listener.local_addr().expect("a name");
    let address = match address.as_abstract_name() {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => SocketAddrUnix::new(address.as_pathname().expect("a path")),
    };
    let address = address.expect("it fits");
    rustix::net::listen(&listener, 0).expect("it listens");
    loop {
        let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None);
        let client = client.expect("a socket");
        if connect(&client, &address).is_err() {
            break;
        }
        std::mem::forget(client); // it waits for as long as this process lives
    }
    std::mem::forget(listener);
}

fn answer_perfectly(mut stream: UnixStream, dir: DirId) {
    let (mut frames, mut piece) = (FrameBuffer::new(), [0; 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        frames.extend(&piece[..count]);
        while let Ok(Some(frame)) = frames.next_frame() {
            if let Ok(Request::Ping(ping)) = Request::decode(&frame) {
                let (nonce, instance_id, name) = (ping.nonce, [6; 16], "a".to_owned());
                let pong = Reply::Pong(Pong { nonce, instance_id, name, dir: Some(dir) });
                let _ = stream.write_all(&pong.encode().expect("it fits"));
            }
        }
    }
}

/// The owners of everything in a directory, and of itself.
pub fn owners(dir: &Path) -> Vec<(PathBuf, u32)> {
    let own = [dir.to_owned()];
    let inside = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("an entry").path());
    let owner = |path: PathBuf| {
        let uid = fs::symlink_metadata(&path).expect("it is there").uid();
        (path, uid)
    };
    own.into_iter().chain(inside).map(owner).collect()
}

/// Tells whether a name is among those in a directory.
pub fn has(dir: &Path, name: impl AsRef<OsStr>) -> bool {
    fs::symlink_metadata(dir.join(name.as_ref())).is_ok()
}
