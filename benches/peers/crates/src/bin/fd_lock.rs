//! fd-lock: flock.

fn main() {
    let (mode, dir, _) = crates::place();
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"));
    let mut lock = fd_lock::RwLock::new(file.expect("a file"));
    let Ok(_guard) = lock.try_write() else { crates::refused() };
    crates::held(&mode);
}
