//! fslock: flock, with the pid in the file.

fn main() {
    let (mode, dir, _) = crates::place();
    let mut lock = fslock::LockFile::open(dir.join("lock").as_os_str()).expect("a file");
    if !lock.try_lock_with_pid().expect("a lock") {
        crates::refused();
    }
    crates::held(&mode);
}
