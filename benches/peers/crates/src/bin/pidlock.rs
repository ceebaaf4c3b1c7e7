//! pidlock: a pid file, and whether such a process lives.

fn main() {
    let (mode, dir, _) = crates::place();
    let mut lock = pidlock::Pidlock::new_validated(dir.join("lock.pid")).expect("a path");
    if lock.acquire().is_err() {
        crates::refused();
    }
    crates::held(&mode);
}
