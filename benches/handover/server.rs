//! The server in Rust: threads that accept, each answers before it accepts again.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{fd::FromRawFd as _, unix::net::UnixDatagram},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::{
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    socket::{setsockopt, sockopt},
    time::{TimeVal, TimeValLike as _},
};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: i32) {
    STOP.store(true, Ordering::SeqCst);
}

pub(crate) fn serve(version: &str) {
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler only writes an atomic.
    unsafe { sigaction(Signal::SIGTERM, &action) }.unwrap();
    assert_eq!(std::env::var("LISTEN_PID").unwrap(), std::process::id().to_string());
    // SAFETY: it is this process's, which was told so.
    let listener = unsafe { TcpListener::from_raw_fd(3) };
    setsockopt(&listener, sockopt::ReceiveTimeout, &TimeVal::milliseconds(20)).unwrap();
    let length = version.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{version}");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !STOP.load(Ordering::SeqCst) {
                    if let Ok((stream, _)) = listener.accept() {
                        let _ = reply(stream, answer.as_bytes());
                    }
                }
            });
        }
        let ready = UnixDatagram::unbound().unwrap();
        ready.send_to(b"READY=1", std::env::var_os("NOTIFY_SOCKET").unwrap()).unwrap();
    });
}

fn reply(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    stream.write_all(answer)
}
