//! The floor of a start: opens DIR/gateway.pid, locks it, writes its pid over what is there, binds DIR/gateway.sock, listens,
//! says `holding`, and answers pings. Refused, it pings the holder until that answers, says so, and exits with 75.
//! With a second argument it exits instead of answering.

use std::{
    io::Write, os::unix::fs::FileExt, os::unix::net::UnixListener, path::Path, process::exit, time::Duration,
};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let dir = args.next().expect("usage: floor_run DIR [once]");
    let (dir, once) = (Path::new(&dir), args.next().is_some());
    let socket = dir.join("gateway.sock");
    let Some(file) = floors::lock(&dir.join("gateway.pid"))? else {
        while floors::ping(&socket).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("already running");
        exit(75)
    };
    file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0)?;
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    println!("holding");
    std::io::stdout().flush()?;
    if once {
        return Ok(());
    }
    floors::serve(&listener)
}
