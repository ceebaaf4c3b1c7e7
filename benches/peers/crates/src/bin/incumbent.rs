//! This project's library, as a program of that kind would use it; with a third argument it also has so many megabytes resident, and both
//! locks of the file `DIR/raw`, so that others can wait for its death beside `gateway run --wait`.

use std::os::fd::AsRawFd;

use incumbent::{Claim, Instance};

fn main() {
    let (mode, dir, _) = crates::place();
    let instance = Instance::new("gateway").expect("a name").in_dir(dir.clone()).expect("a directory");
    let Claim::Won(_holder) = instance.claim_blocking().expect("a claim") else { crates::refused() };
    let megabytes = std::env::args().nth(3).map_or(0, |text| text.parse().expect("megabytes"));
    let _ballast = vec![1_u8; megabytes << 20];
    let _raw = (megabytes > 0).then(|| {
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("raw"));
        let file = file.expect("a file");
        // SAFETY: the struct is plain numbers, for which zero is a value; the descriptor is open.
        unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_WRLCK as _;
            assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock), 0, "the record lock");
            assert_eq!(libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB), 0, "the flock");
        }
        file
    });
    crates::held(&mode);
}
