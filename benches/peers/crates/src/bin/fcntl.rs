//! A bare POSIX record lock (F_SETLK), to compare with.

use std::os::fd::AsRawFd;

fn main() {
    let (mode, dir, _) = crates::place();
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"));
    let file = file.expect("a file");
    // SAFETY: the struct is plain numbers, for which zero is a value; the descriptor is open.
    let taken = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock)
    };
    if taken != 0 {
        crates::refused();
    }
    crates::held(&mode);
}
