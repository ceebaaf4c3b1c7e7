//! named-lock: flock of a file at a path.

fn main() {
    let (mode, dir, _) = crates::place();
    let lock = named_lock::NamedLock::with_path(dir.join("lock")).expect("a file");
    let Ok(_guard) = lock.try_lock() else { crates::refused() };
    crates::held(&mode);
}
